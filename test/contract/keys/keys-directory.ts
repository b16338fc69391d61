import { lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sha256 } from "@secai/formats/digest";
import { type KeysWorld, runKeys } from "@secai/release/keys/command";
import { makeKeys } from "../release/fixture.ts";

/** What the command prints about the keys in `dir`. @throws what the command throws */
export async function runOn(dir: string, args: readonly string[], world?: KeysWorld): Promise<string> {
  const printed: string[] = [];
  const stdout = (text: string) => {
    printed.push(text);
  };
  const status = await runKeys(args, { stdout, stderr: () => undefined, env: { SECAI_KEYS: dir } }, world);
  if (status !== 0) throw new Error(`exit ${status}: ${printed.join("")}`);
  return printed.join("");
}

/** A directory with throwaway keys, and the command over it. */
export class KeysDirectory {
  readonly path: string;
  readonly #top = mkdtempSync(join(tmpdir(), "secai-keys-"));

  constructor() {
    this.path = join(this.#top, "keys");
    makeKeys(this.path);
  }

  beside(name: string): string {
    return join(this.#top, name);
  }

  /** The standard output of a command that succeeds. @throws what the command throws */
  async keys(args: readonly string[], world?: KeysWorld): Promise<string> {
    return runOn(this.path, args, world);
  }

  async json(args: readonly string[], world?: KeysWorld): Promise<Record<string, never>> {
    return JSON.parse(await this.keys([...args, "--json"], world));
  }

  /** Every name with its permissions and content: equal before and after what must change nothing. */
  snapshot(): Readonly<Record<string, string>> {
    const names = readdirSync(this.path, { recursive: true, encoding: "utf8" }).sort();
    return Object.fromEntries(names.map((name) => [name, this.#stateOf(join(this.path, name))]));
  }

  #stateOf(path: string): string {
    const stat = lstatSync(path);
    return `${(stat.mode & 0o777).toString(8)} ${stat.isFile() ? sha256(readFileSync(path)) : "directory"}`;
  }

  read(name: string): Buffer {
    return readFileSync(join(this.path, name));
  }

  remove(): void {
    rmSync(this.#top, { recursive: true, force: true });
  }
}
