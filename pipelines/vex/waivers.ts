import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { FormatError } from "@secai/formats/errors";
import { justificationShape, vulnerabilityIdShape } from "@secai/formats/openvex";
import { list, literal, object, parseShape, type TypeOf, text } from "@secai/formats/shape";
import { lineShape, nameShape } from "@secai/formats/shapes";
import { parse } from "yaml";
import { VexError } from "./errors.ts";

/** Largest file of waivers, in bytes. */
const MAX_WAIVERS_BYTES = 1 << 20;
/** A calendar day, UTC. */
const dayShape = text(/^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$/, 10);

const waiverShape = object(
  {
    id: vulnerabilityIdShape,
    /** A package of the image's lock. */
    package: lineShape,
    status: literal("not_affected", "affected"),
    /** Why it is none, or why it is accepted for now; one sentence that an auditor can check. */
    reason: lineShape,
    reviewer: lineShape,
    recorded: dayShape,
    /** The last day on which the waiver holds. */
    expires: dayShape,
  },
  { justification: justificationShape, action: lineShape },
);

/** A file of waivers, recipes/waivers/RECIPE.yaml. */
export const waiversShape = object({ schema: literal(1), recipe: nameShape, waivers: list(waiverShape, { max: 1000 }) });
export type Waivers = TypeOf<typeof waiversShape>;
export type Waiver = Waivers["waivers"][number];

export const waiversPath = (recipe: string) => `recipes/waivers/${recipe}.yaml`;

/** @throws VexError WAIVERS_INVALID */
export function parseWaivers(yaml: string, recipe: string): Waivers {
  if (yaml.length > MAX_WAIVERS_BYTES) throw invalid(`at most ${MAX_WAIVERS_BYTES} characters`, `${yaml.length}`);
  const waivers = shaped(yaml);
  if (waivers.recipe !== recipe) throw invalid(`waivers of ${recipe}`, waivers.recipe);
  const ids = waivers.waivers.map(({ id }) => id);
  const twice = ids.find((id, index) => ids.indexOf(id) !== index);
  if (twice !== undefined) throw invalid("each vulnerability once", twice);
  for (const waiver of waivers.waivers) requireSound(waiver);
  return waivers;
}

function shaped(yaml: string): Waivers {
  try {
    // Core schema without merge keys or custom tags; an alias cannot grow the document beyond its limit.
    return parseShape(waiversShape, parse(yaml, { merge: false, maxAliasCount: 0, uniqueKeys: true }), "waivers");
  } catch (cause) {
    if (cause instanceof FormatError) throw invalid(cause.expected ?? "-", cause.actual ?? cause.code, cause);
    throw invalid("YAML", (cause as Error).message.split("\n", 1)[0] ?? "-", cause);
  }
}

function requireSound({ id, status, justification, action, recorded, expires }: Waiver): void {
  if (status === "not_affected" && justification === undefined) throw invalid(`${id}: a justification`, "none");
  if (status === "affected" && action === undefined) throw invalid(`${id}: an action for those who run the image`, "none");
  for (const day of [recorded, expires])
    if (!Number.isFinite(Date.parse(day)) || new Date(day).toISOString().slice(0, 10) !== day)
      throw invalid(`${id}: a date`, day);
  if (recorded > expires) throw invalid(`${id}: recorded before it expires`, `${recorded} to ${expires}`);
}

const invalid = (expected: string, actual: string, cause?: unknown) =>
  new VexError("WAIVERS_INVALID", { expected, actual, cause });

/** Reads the recipe's waivers; a recipe without the file has none. @throws VexError WAIVERS_INVALID */
export async function loadWaivers(top: string, recipe: string): Promise<Waivers> {
  try {
    return parseWaivers(await readFile(join(top, waiversPath(recipe)), "utf8"), recipe);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    return { schema: 1, recipe, waivers: [] };
  }
}

/** Each waiver must hold on `day` (YYYY-MM-DD) and be about a locked package. @throws VexError WAIVER_EXPIRED, WAIVER_UNMATCHED */
export function requireCurrent({ waivers }: Waivers, packages: ReadonlySet<string>, day: string): void {
  const expired = waivers.filter(({ expires }) => expires < day);
  if (expired.length > 0)
    throw new VexError("WAIVER_EXPIRED", {
      expected: `waivers that hold on ${day}`,
      actual: expired.map(({ id, expires }) => `${id} until ${expires}`).join(", "),
    });
  const foreign = waivers.find((waiver) => !packages.has(waiver.package));
  if (foreign !== undefined)
    throw new VexError("WAIVER_UNMATCHED", { expected: "a locked package", actual: `${foreign.id}: ${foreign.package}` });
}
