import { cpus, loadavg } from "node:os";

/** What must not be exceeded (or, for rates, undercut), in the unit of the figure. */
export interface Budget {
  readonly limit: number;
  readonly kind: "at most" | "at least";
}

/** One measured figure. A figure without a value was not measured, and says why. */
export interface Figure {
  /** Stable; results are compared between runs by it. */
  readonly id: string;
  readonly title: string;
  readonly unit: "s" | "ms" | "MiB" | "x" | "per minute" | "per second";
  readonly value?: number;
  readonly budget?: Budget;
  /** What the value is compared with, measured in the same run, and how often the value is of it. */
  readonly peer?: { readonly what: string; readonly value: number; readonly unit: Figure["unit"]; readonly ratio: number };
  readonly reason?: string;
  /** Unit of the parts where it is not the value's; "" where each part's name has its own. */
  readonly partUnit?: Figure["unit"] | "";
  /** What the value is made of, in its order. */
  readonly parts?: readonly { readonly name: string; readonly value: number }[];
  /** One-minute load averages of the machine before and after: it may be shared. */
  readonly load?: readonly [number, number];
}

/** undefined when there is nothing to judge. */
export function isMet({ value, budget }: Figure): boolean | undefined {
  if (value === undefined || budget === undefined) return undefined;
  return budget.kind === "at most" ? value <= budget.limit : value >= budget.limit;
}

export function peerOf(value: number, what: string, of: number, unit: Figure["unit"]): NonNullable<Figure["peer"]> {
  return { what, value: of, unit, ratio: value / of };
}

export function notMeasured(figure: Omit<Figure, "value" | "reason">, error: unknown): Figure {
  return { ...figure, reason: (error instanceof Error ? error.message : String(error)).split("\n")[0] ?? "" };
}

const number = (value: number): string => (value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2));

function verdict(figure: Figure): string {
  const met = isMet(figure);
  if (figure.reason !== undefined) return "not measured";
  return met === undefined ? "" : met ? "met" : "MISSED";
}

/** Lines for people: a table, and below each row what it is made of. */
export function figureLines(figures: readonly Figure[]): string[] {
  const rows = figures.map((figure) => {
    const { title, unit, value, budget, peer } = figure;
    return [
      title,
      value === undefined ? "-" : `${number(value)} ${unit}`,
      budget === undefined ? "" : `${budget.kind} ${budget.limit} ${budget.limit === 1 || unit !== "x" ? unit : "x"}`,
      verdict(figure),
      peer === undefined ? "" : `${number(peer.ratio)} x ${peer.what} (${number(peer.value)} ${peer.unit})`,
    ];
  });
  const widths = [0, 1, 2, 3].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.flatMap((row, index) => [
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
    ...detailLines(figures[index]),
  ]);
}

function detailLines(figure: Figure | undefined): string[] {
  if (figure?.reason !== undefined) return [`    ${figure.reason}`];
  const unit = figure?.partUnit ?? figure?.unit;
  return (figure?.parts ?? []).map(
    ({ name, value }) => `    ${number(value).padStart(6)} ${unit === "" ? "" : `${unit}  `}${name}`,
  );
}

export interface BenchReport {
  readonly schema: 1;
  /** RFC 3339, UTC. */
  readonly startedOn: string;
  readonly cpus: number;
  readonly figures: readonly (Figure & { readonly met?: boolean })[];
}

export function buildBenchReport(startedOn: string, figures: readonly Figure[]): BenchReport {
  const judged = figures.map((figure) => {
    const met = isMet(figure);
    return met === undefined ? figure : { ...figure, met };
  });
  return { schema: 1, startedOn, cpus: cpus().length, figures: judged };
}

const load = (): number => Math.round((loadavg()[0] ?? 0) * 100) / 100;

/** Measures, and notes the load before and after. */
export async function withLoad(measure: () => Promise<readonly Figure[]>): Promise<readonly Figure[]> {
  const before = load();
  const figures = await measure();
  return figures.map((figure) => ({ ...figure, load: [before, load()] }));
}
