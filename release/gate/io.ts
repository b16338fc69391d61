import { createInterface } from "node:readline/promises";
import type { CommandIo } from "@secai/verify/command";

/** What a command of this workspace may touch of the outside. */
export interface ReleaseIo extends CommandIo {
  readonly signal?: AbortSignal;
  /** Asks the person at the terminal; undefined when there is none. Without it, the process's own terminal is asked. */
  readonly ask?: (question: string) => Promise<string | undefined>;
}

/** A line typed at the terminal, or undefined when standard input is none: a script must say yes with an option. */
export async function askAtTerminal(question: string): Promise<string | undefined> {
  if (!process.stdin.isTTY) return undefined;
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return await terminal.question(question);
  } finally {
    terminal.close();
  }
}

/** "12.3 MiB": for people; bytes below 1 KiB. */
export function sizeText(bytes: number): string {
  const units = ["KiB", "MiB", "GiB", "TiB"];
  let [value, unit] = [bytes, "bytes"];
  for (const next of units) {
    if (value < 1024) break;
    [value, unit] = [value / 1024, next];
  }
  return unit === "bytes" ? `${value} bytes` : `${value.toFixed(1)} ${unit}`;
}

/** Says every twentieth part of `total` once, as "label 35 % of 1.2 GiB". */
export function progressLine(label: string, total: number, say: (text: string) => void): (done: number) => void {
  let said = -1;
  return (done) => {
    const step = total === 0 ? 20 : Math.floor((done / total) * 20);
    if (step === said) return;
    said = step;
    say(`${label} ${step * 5} % of ${sizeText(total)}\n`);
  };
}
