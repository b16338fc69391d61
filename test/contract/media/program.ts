import { mkdirSync } from "node:fs";
import { loadSources, type Sources } from "../../../pipelines/sources.ts";
import { top } from "../../../scripts/house/tree.ts";
import { type Ended, ToolFolder } from "../measure/tool-root.ts";

/** Seconds since 1970 that the programs take for now. */
export const EPOCH = 1_760_000_000;

/** Bundled programs of the plan, run in a sandbox of a tool root with one folder, and small inputs in the place of an image. */
export class ProgramFolder extends ToolFolder {
  #sources: Sources | undefined;

  /** @param root default: the machine's tool root. @throws Error without one */
  static async open(programs: readonly string[], root?: string): Promise<ProgramFolder> {
    const folder = new ProgramFolder(root);
    folder.#sources = await loadSources(top, folder.at("cache"), { sources: [], programs });
    return folder;
  }

  /**
   * Runs a program as a step does; values that start with "./" are names in the folder. Makes the folder `out` for it.
   * @param before what starts it, such as taskset
   */
  attempt(name: string, flags: Readonly<Record<string, string>>, out: string, before: readonly string[] = []): Ended {
    if (this.#sources === undefined) throw new Error("open the folder first");
    mkdirSync(this.at(out), { recursive: true });
    const values = Object.entries(flags).flatMap(([flag, value]) => [
      `--${flag}`,
      value.startsWith("./") ? this.at(value.slice(2)) : value,
    ]);
    const binds = [
      { src: process.execPath, dst: "/in/node", writable: false },
      { src: this.#sources.programPath(name), dst: "/in/program.mjs", writable: false },
    ];
    return this.start([...before, "/in/node", "/in/program.mjs", ...values], binds, { SOURCE_DATE_EPOCH: String(EPOCH) });
  }

  /** The same. @throws Error with what it wrote when it fails */
  program(name: string, flags: Readonly<Record<string, string>>, out: string): void {
    const { status, output } = this.attempt(name, flags, out);
    if (status !== 0) throw new Error(`${name} ended with ${status}:\n${output}`);
  }
}
