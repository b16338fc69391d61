import type { ImportEdge } from "./imports.ts";

/** Which room may import which. "services" stands for every folder of services-src but kit. A room may always import itself. */
export const mayImport: Readonly<Record<string, readonly string[]>> = {
  "attest/formats": [],
  "attest/measure": ["attest/formats"],
  "attest/sign": ["attest/formats"],
  "attest/verify": ["attest/formats", "attest/measure"],
  pipelines: ["attest/formats", "attest/measure"],
  release: ["attest/formats", "attest/measure", "attest/sign", "attest/verify"],
  "services-src/kit": ["attest/formats"],
  services: ["services-src/kit"],
  // gpu.json and the qualification of a GPU are documents that the toolchain and the verifier read, too.
  "services-src/gpu": ["services-src/kit", "attest/formats"],
  // The machine judges itself with the collector and the checks that the verifier judges it with from outside.
  "services-src/runtime-attestor": ["services-src/kit", "attest/formats", "attest/measure", "attest/verify"],
  "services-src/integrity-monitor": ["services-src/kit", "attest/formats", "attest/verify"],
  scripts: ["pipelines", "release", "attest/verify", "attest/measure", "attest/formats", "services-src/gpu"],
};

/** The room a file lives in, e.g. "attest/formats" or "services-src/policy-engine"; "test" may import anything. */
export function roomOf(path: string): string {
  const [top = "", second = ""] = path.split("/");
  return (top === "attest" || top === "services-src") && path.split("/").length > 2 ? `${top}/${second}` : top;
}

function allowedFor(room: string): readonly string[] | undefined {
  return mayImport[room] ?? (room.startsWith("services-src/") ? mayImport.services : undefined);
}

/** Why this import breaks the house, or undefined when it does not. */
export function violationOf({ from, to, specifier }: ImportEdge): string | undefined {
  if (to.includes("node_modules/")) return undefined;
  const [source, target] = [roomOf(from), roomOf(to)];
  if (source === target || source === "test") return undefined;
  const named = `${from} imports ${to}`;
  const allowed = allowedFor(source);
  if (allowed === undefined) return `${named}: ${source} is not in the import table`;
  if (!allowed.includes(target)) return `${named}: ${source} may import only ${["itself", ...allowed].join(", ")}`;
  // Scripts belong to no workspace, so they reach the others by path; workspaces go through the packages' exports.
  if (source !== "scripts" && specifier.startsWith(".")) return `${named}: by path, not by package name`;
  return undefined;
}

/** Rooms that import each other in a circle, one line a circle, e.g. "pipelines > release > pipelines". */
export function roomCycles(imports: readonly ImportEdge[]): readonly string[] {
  const edges = new Map<string, Set<string>>();
  for (const { from, to } of imports) {
    if (to.includes("node_modules/") || roomOf(from) === roomOf(to)) continue;
    edges.set(roomOf(from), (edges.get(roomOf(from)) ?? new Set()).add(roomOf(to)));
  }
  const cycles = new Set<string>();
  const done = new Set<string>();
  const visit = (room: string, path: readonly string[]): void => {
    const start = path.indexOf(room);
    if (start >= 0) cycles.add([...path.slice(start), room].join(" > "));
    if (start >= 0 || done.has(room)) return;
    for (const next of edges.get(room) ?? []) visit(next, [...path, room]);
    done.add(room);
  };
  for (const room of edges.keys()) visit(room, []);
  return [...cycles];
}
