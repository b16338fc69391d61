import type { Machine } from "./machine.ts";
import type { Output } from "./output.ts";

/** 0 well, 1 something says no, 3 something cannot be said. Wrong use and bugs are thrown. */
export type Exit = 0 | 1 | 3;

export interface Flags {
  readonly yes: boolean;
  readonly all: boolean;
  readonly replace: boolean;
  readonly force: boolean;
  readonly state: string | undefined;
  readonly class: string | undefined;
  readonly severity: string | undefined;
  readonly operator: string | undefined;
  readonly accept: string | undefined;
}

export interface Invocation {
  readonly machine: Machine;
  readonly out: Output;
  readonly words: readonly string[];
  readonly flags: Flags;
  /** Waits; tests wait less. */
  sleep(ms: number): Promise<void>;
}

export interface Command {
  readonly name: string;
  readonly summary: string;
  /** Lines of `secai NAME --help`, examples included. */
  readonly help: string;
  readonly flags: readonly (keyof Flags)[];
  run(invocation: Invocation): Promise<Exit>;
}

/** The worse of several: no beats cannot say, which beats well. */
export const worst = (exits: readonly Exit[]): Exit => (exits.includes(1) ? 1 : exits.includes(3) ? 3 : 0);

/** What would be done, unless --yes was given. */
export function isOnlyShown({ flags, out }: Invocation, what: string): boolean {
  if (flags.yes) return false;
  out.line(`would ${what}; nothing was done. Repeat with --yes to do it.`);
  out.value({ dry_run: true, would: what });
  return true;
}
