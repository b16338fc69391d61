import { GpuWatchError } from "./errors.ts";
import { type Machine, runTool } from "./machine.ts";

/** Columns that are asked for, in this order (`nvidia-smi --help-query-gpu`). */
const COLUMNS = {
  index: "index",
  eccMode: "ecc.mode.current",
  corrected: "ecc.errors.corrected.volatile.total",
  uncorrected: "ecc.errors.uncorrected.volatile.total",
  celsius: "temperature.gpu",
  totalMib: "memory.total",
  usedMib: "memory.used",
  retired: "retired_pages.double_bit.count",
} as const;

const MAX_GPUS = 64;

/** null: the card has no such counter. */
export interface NvidiaGpu {
  readonly index: number;
  readonly eccEnabled: boolean | null;
  readonly corrected: number | null;
  readonly uncorrected: number | null;
  readonly celsius: number | null;
  readonly totalMib: number | null;
  readonly usedMib: number | null;
  readonly retired: number | null;
}

/** @throws GpuWatchError GPU_TOOL_FAILED, GPU_TOOL_OUTPUT */
export async function queryNvidia({ nvidiaSmi }: Machine, signal: AbortSignal): Promise<readonly NvidiaGpu[]> {
  const query = `--query-gpu=${Object.values(COLUMNS).join(",")}`;
  return parseNvidiaCsv(await runTool(nvidiaSmi, [query, "--format=csv,noheader,nounits"], signal));
}

/**
 * Rows as `--format=csv,noheader,nounits` writes them: exactly the columns that were asked for, each a number or a word that says there is
 * none. Anything else is refused, because a misread counter is a passed check.
 * @throws GpuWatchError GPU_TOOL_OUTPUT
 */
export function parseNvidiaCsv(text: string): readonly NvidiaGpu[] {
  const lines = text.replace(/\n$/, "").split("\n");
  if (lines.length > MAX_GPUS) throw unexpected(`at most ${MAX_GPUS} rows`, `${lines.length}`);
  const gpus = lines.map(parseRow);
  const indices = new Set(gpus.map(({ index }) => index));
  if (indices.size !== gpus.length) throw unexpected("each GPU once", "one twice");
  return gpus;
}

function parseRow(line: string): NvidiaGpu {
  const cells = line.split(", ");
  const names = Object.keys(COLUMNS);
  if (cells.length !== names.length) throw unexpected(`${names.length} columns`, `${cells.length}: ${line.slice(0, 128)}`);
  const cell = (name: keyof typeof COLUMNS): string => cells[names.indexOf(name)] ?? "";
  const count = (name: keyof typeof COLUMNS) => parseCount(cell(name), COLUMNS[name]);
  const index = count("index");
  if (index === null) throw unexpected("an index", cell("index"));
  return {
    index,
    eccEnabled: parseMode(cell("eccMode")),
    corrected: count("corrected"),
    uncorrected: count("uncorrected"),
    celsius: count("celsius"),
    totalMib: count("totalMib"),
    usedMib: count("usedMib"),
    retired: count("retired"),
  };
}

const NONE = ["[N/A]", "N/A", "[Not Supported]"];

function parseCount(text: string, column: string): number | null {
  if (NONE.includes(text)) return null;
  if (!/^(0|[1-9][0-9]{0,14})$/.test(text)) throw unexpected(`a number for ${column}`, text.slice(0, 64));
  return Number(text);
}

function parseMode(text: string): boolean | null {
  if (NONE.includes(text)) return null;
  if (text !== "Enabled" && text !== "Disabled") throw unexpected("Enabled or Disabled for ecc.mode.current", text.slice(0, 64));
  return text === "Enabled";
}

const unexpected = (expected: string, actual: string) => new GpuWatchError("GPU_TOOL_OUTPUT", { expected, actual });
