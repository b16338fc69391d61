import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { promisify } from "node:util";
import { EngineError } from "./errors.ts";

const run = promisify(execFile);

/** util-linux: the caller becomes uid 0, its ranges of /etc/subuid and /etc/subgid become the ids after it (newuidmap of uidmap). */
const ENTER = ["unshare", "--user", "--map-root-user", "--map-users=auto", "--map-groups=auto", "--"] as const;

/** True for uid 0 of the machine; false for an ordinary user and for uid 0 of a user namespace. */
export function isMachineRoot(uidMap: string = readFileSync("/proc/self/uid_map", "utf8")): boolean {
  return process.geteuid?.() === 0 && /^\s*0\s+0\s+4294967295\s*$/.test(uidMap);
}

/**
 * Runs `argv` as uid 0: directly if we are that already, else in a user namespace where the caller is uid 0 and files may belong to
 * others too, as a root file system needs. The local engine works in such a process only; its main program calls itself through
 * this before it does anything else.
 * @returns the exit status, or undefined when we are uid 0 already and nothing was run
 * @throws EngineError USER_NAMESPACE_UNAVAILABLE
 */
export async function reenterAsRoot(argv: readonly string[]): Promise<number | undefined> {
  if (process.geteuid?.() === 0) return undefined;
  await checkUserNamespace();
  const [command, ...rest] = [...ENTER, ...argv];
  const child = spawn(command, rest, { stdio: "inherit" });
  // The terminal sends Ctrl-C to the child as well; it cleans up and its status is ours.
  const ignore = (): void => {};
  process.on("SIGINT", ignore);
  const forward = (): void => void child.kill("SIGTERM");
  process.on("SIGTERM", forward);
  try {
    const [status] = (await once(child, "exit")) as [number | null];
    return status ?? 3;
  } finally {
    process.off("SIGINT", ignore);
    process.off("SIGTERM", forward);
  }
}

/** @throws EngineError USER_NAMESPACE_UNAVAILABLE with what unshare said */
export async function checkUserNamespace(): Promise<void> {
  const [command, ...rest] = [...ENTER, "true"];
  await run(command, rest).catch((cause: Error & { stderr?: string }) => {
    throw new EngineError("USER_NAMESPACE_UNAVAILABLE", {
      expected: "a user namespace with subordinate ids",
      actual: (cause.stderr ?? cause.message).trim(),
      cause,
    });
  });
}
