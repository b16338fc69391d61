import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { VaultResult } from "@secai/kit/api/containment";
import { verifyAudit } from "@secai/kit/audit-verify";

export const top = join(import.meta.dirname, "../../..");
export const UUID = "01234567-89ab-cdef-0123-456789abcdef";
export const PASSPHRASE = "correct horse battery";
const USERS = ["first.service", "second.service"];

export interface Ended {
  readonly status: number | null;
  readonly out: string;
  readonly err: string;
}

/**
 * A machine whose kernel is a folder: made-up programs of the system change it as the real ones would, note what they were told, and fail or
 * lie when a test says so.
 */
export interface Bench {
  readonly folder: string;
  readonly env: Readonly<Record<string, string>>;
  path(name: string): string;
  request(name: string, body: unknown): Promise<void>;
  result(incident: string): Promise<VaultResult | undefined>;
  state(): Promise<Record<string, unknown>>;
  /** Commands that were run, in order. */
  commands(): Promise<readonly string[]>;
  /** What happens instead of a program's work: a shell line. */
  instead(program: string, line: string): Promise<void>;
  broker(options?: {
    readonly killAfterMs?: number;
    readonly env?: Readonly<Record<string, string>>;
    readonly prefix?: readonly string[];
  }): Promise<Ended>;
  control(args: readonly string[], input?: string, env?: Readonly<Record<string, string>>): Promise<Ended>;
  isClosed(): Promise<boolean>;
  records(): Promise<readonly { readonly type: string; readonly data: Record<string, unknown> }[]>;
  verify(): Promise<unknown>;
  remove(): Promise<void>;
}

/** @param open whether the vault is open at first; "none": it was never set up */
export async function createBench(open: boolean | "none"): Promise<Bench> {
  const folder = await mkdtemp(join(tmpdir(), "secai-vault-"));
  const path = (name: string) => join(folder, name);
  const folders = [
    "bin",
    "instead",
    "requests",
    "processing",
    "results",
    "latches",
    "audit",
    "anchor",
    "mount",
    "root/etc",
    "root/proc/self",
    "root/sys/block/sda",
    "run",
  ];
  for (const name of folders) await mkdir(path(name), { recursive: true, mode: 0o700 });
  const key = randomBytes(32).toString("hex");
  await writeFile(path("key"), `${key}\n`, { mode: 0o600 });
  await writeFile(
    path("root/etc/group"),
    "root:x:0:\nsecure-ai-services:x:700:\nsecure-ai-vault-control:x:718:\nsecure-ai-registry:x:701:\n",
  );
  await writeFile(
    path("settings.json"),
    JSON.stringify({ schema: 1, mapper: "secure-ai-vault", mount_point: path("mount"), users: USERS }),
  );
  if (open !== "none")
    await writeFile(
      path("marker"),
      JSON.stringify({ schema: 1, source: path("volume"), luks_uuid: UUID, initialized_at: "2026-01-01T00:00:00.000Z" }),
    );
  await writePrograms(folder);
  await writeFile(path("root/proc/self/mountinfo"), "1 0 8:1 / / rw - ext4 /dev/root rw\n");
  await writeFile(path("commands"), "");
  if (open === true) await simulate(folder, "cryptsetup-open; mount-it");
  const env = {
    VAULT_SETTINGS_PATH: path("settings.json"),
    VAULT_MACHINE_ROOT: path("root"),
    VAULT_PROGRAM_PATH: `${path("bin")}:/usr/bin:/bin`,
    VAULT_REQUEST_DIR: path("requests"),
    VAULT_PROCESSING_DIR: path("processing"),
    VAULT_RESULT_DIR: path("results"),
    VAULT_LATCH_DIR: path("latches"),
    VAULT_STATE_FILE: path("run/vault-state"),
    VAULT_MARKER_PATH: path("marker"),
    VAULT_LOCK_FILE: path("processing/.lock"),
    AUDIT_HMAC_KEY_PATH: path("key"),
    AUDIT_LOG_PATH: path("audit/vault-audit.jsonl"),
    AUDIT_ANCHOR_PATH: path("anchor/vault-audit.head"),
  };
  const bench: Bench = {
    folder,
    env,
    path,
    request: (name, body) =>
      writeFile(path(`requests/${name}`), typeof body === "string" ? body : JSON.stringify(body), { mode: 0o640 }),
    result: (incident) =>
      readFile(path(`results/${incident}.json`), "utf8").then(
        (text) => JSON.parse(text) as VaultResult,
        () => undefined,
      ),
    state: async () => JSON.parse(await readFile(path("run/vault-state"), "utf8")) as Record<string, unknown>,
    commands: async () => (await readFile(path("commands"), "utf8")).split("\n").filter((line) => line !== ""),
    instead: (program, line) => writeFile(path(`instead/${program}`), line),
    broker: ({ killAfterMs, env: extra = {}, prefix = [] } = {}) =>
      execute(
        [...prefix, process.execPath, "services-src/vault-control/programs/broker.ts"],
        { ...env, ...extra },
        undefined,
        killAfterMs,
      ),
    control: (args, input = "", extra = {}) =>
      execute([process.execPath, "services-src/vault-control/programs/vault-ctl.ts", ...args], { ...env, ...extra }, input),
    isClosed: async () =>
      !(await readdir(path("root/sys/block"))).includes("dm-0") &&
      !(await readFile(path("root/proc/self/mountinfo"), "utf8")).includes(path("mount")),
    records: async () =>
      (await readFile(path("audit/vault-audit.jsonl"), "utf8"))
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line) as { type: string; data: Record<string, unknown> }),
    verify: () => verifyAudit(path("audit/vault-audit.jsonl"), Buffer.from(key, "hex"), path("anchor/vault-audit.head")),
    remove: () => rm(folder, { recursive: true }),
  };
  return bench;
}

export async function execute(
  [program = "", ...args]: readonly string[],
  env: Readonly<Record<string, string>>,
  input?: string,
  killAfterMs?: number,
): Promise<Ended> {
  const child = spawn(program, args, { cwd: top, env: { PATH: process.env.PATH, ...env }, stdio: ["pipe", "pipe", "pipe"] });
  const [out, err]: [Buffer[], Buffer[]] = [[], []];
  child.stdout.on("data", (chunk: Buffer) => out.push(chunk));
  child.stderr.on("data", (chunk: Buffer) => err.push(chunk));
  child.stdin.on("error", () => undefined);
  child.stdin.end(input);
  const timer = killAfterMs === undefined ? undefined : setTimeout(() => child.kill("SIGKILL"), killAfterMs);
  const [status] = (await once(child, "close")) as [number | null];
  clearTimeout(timer);
  return { status, out: Buffer.concat(out).toString(), err: Buffer.concat(err).toString() };
}

async function writePrograms(folder: string): Promise<void> {
  const library = `#!/bin/sh
B=${folder}
KERNEL=$B/root
MOUNT=$B/mount
note() { printf '%s\\n' "$*" >> $B/commands; }
instead() { if [ -e $B/instead/$1 ]; then . $B/instead/$1; fi; }
cryptsetup_open() { mkdir -p $KERNEL/sys/block/.new/dm; echo secure-ai-vault > $KERNEL/sys/block/.new/dm/name; echo CRYPT-LUKS2-${UUID.replaceAll("-", "")}-secure-ai-vault > $KERNEL/sys/block/.new/dm/uuid; mv -T $KERNEL/sys/block/.new $KERNEL/sys/block/dm-0; }
mount_it() { { cat $KERNEL/proc/self/mountinfo; echo "40 1 253:0 / $MOUNT rw,nosuid,nodev,noexec - ext4 /dev/mapper/secure-ai-vault rw"; } > $KERNEL/proc/new; mv $KERNEL/proc/new $KERNEL/proc/self/mountinfo; }
`;
  const programs: Readonly<Record<string, string>> = {
    systemctl: "exit 0",
    sync: "exit 0",
    umount: `grep -q " $MOUNT " $KERNEL/proc/self/mountinfo || exit 32
grep -v " $MOUNT " $KERNEL/proc/self/mountinfo > $KERNEL/proc/new; mv $KERNEL/proc/new $KERNEL/proc/self/mountinfo`,
    mount: "mount_it",
    "mkfs.ext4": "exit 0",
    modprobe: "exit 0",
    cryptsetup: `case $1 in
close) [ -e $KERNEL/sys/block/dm-0 ] || exit 4; rm -r $KERNEL/sys/block/dm-0 ;;
open) [ "$(cat)" = "${PASSPHRASE}" ] || exit 2; cryptsetup_open ;;
luksFormat) cat > /dev/null ;;
esac`,
    "cryptsetup-open": "cryptsetup_open",
    "mount-it": "mount_it",
  };
  for (const [name, body] of Object.entries(programs)) {
    const noted = name.includes("-") ? "" : `note ${name} "$@"\n`;
    await writeFile(join(folder, "bin", name), `${library}${noted}instead ${name}\n${body}\n`);
    await chmod(join(folder, "bin", name), 0o755);
  }
}

async function simulate(folder: string, line: string): Promise<void> {
  const { status, err } = await execute(["/bin/sh", "-c", line], { PATH: `${join(folder, "bin")}:/usr/bin:/bin` });
  if (status !== 0) throw new Error(err);
}
