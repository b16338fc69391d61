import { join } from "node:path";
import { type PublishClock, runPublish } from "@secai/release/publish/command";
import { temporaryDirectory } from "../release/fixture.ts";
import { TOKEN } from "./github-server.ts";

/** A scratch directory and the command as a test calls it. */
export function publisher() {
  const scratch = temporaryDirectory();
  const at = (name: string) => join(scratch.path, name);
  /** Waits asked for, in ms; nobody waits. */
  const waits: number[] = [];
  const clock: PublishClock = {
    now: () => 1_760_000_000_000,
    sleep: async (ms) => {
      waits.push(ms);
    },
  };
  const run = async (
    args: readonly string[],
    more: { readonly env?: Readonly<Record<string, string>>; readonly signal?: AbortSignal } = {},
  ) => {
    const said = { stdout: "", stderr: "" };
    const io = {
      stdout: (text: string) => {
        said.stdout += text;
      },
      stderr: (text: string) => {
        said.stderr += text;
      },
      env: { SECAI_KEYS: at("keys"), GITHUB_TOKEN: TOKEN, ...more.env },
      ...(more.signal !== undefined && { signal: more.signal }),
    };
    return { exit: await runPublish(args, io, clock), ...said };
  };
  return { at, run, waits, dispose: () => scratch[Symbol.dispose]() };
}
