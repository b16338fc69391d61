import { FormatError } from "@secai/formats/errors";
import { list, literal, object, parseShape, type TypeOf, text } from "@secai/formats/shape";
import { lineShape } from "@secai/formats/shapes";
import { parse } from "yaml";
import { ControlError } from "./errors.ts";

/** Largest file of controls, in characters. */
const MAX_CONTROLS = 1 << 18;

const idShape = text(/^[a-z0-9]+(-[a-z0-9]+)*$/, 40);
const scenarioIdShape = text(/^[a-z-]+\.[a-z0-9-]+$/, 100);
/** A control of NIST SP 800-53 revision 5, with an enhancement where only that one is meant. */
const referenceShape = text(/^[A-Z]{2}-[1-9][0-9]?(\([1-9][0-9]?\))?$/, 12);
const momentNameShape = text(/^[a-z][A-Za-z]*$/, 40);

const controlShape = object(
  {
    id: idShape,
    /** What is promised, in one sentence. */
    control: lineShape,
    /** Paths of this repository: the workspace or unit that keeps the promise. */
    components: list(text(/^[A-Za-z0-9@._/-]+$/, 200), { min: 1, max: 6 }),
  },
  {
    references: list(referenceShape, { min: 1, max: 6 }),
    /** Ids of scenarios that show it. */
    scenarios: list(scenarioIdShape, { min: 1, max: 100 }),
    /** Why no scenario shows it. */
    reason: lineShape,
  },
);

const momentShape = object({ name: momentNameShape, what: lineShape }, { after: momentNameShape });

/** The scenario that measures `moments`, in milliseconds of one clock, or why there is none. Times are shown since each of `zeros`. */
const timelineShape = object(
  { moments: list(momentShape, { min: 2, max: 50 }), zeros: list(momentNameShape, { min: 1, max: 4 }) },
  { scenario: scenarioIdShape, reason: lineShape },
);

const controlsShape = object({
  schema: literal(1),
  controls: list(controlShape, { min: 1, max: 500 }),
  timeline: timelineShape,
});
export type Controls = TypeOf<typeof controlsShape>;
export type Control = Controls["controls"][number];
export type Timeline = Controls["timeline"];

/**
 * docs/controls.yaml. `exists` says whether a path is in this repository.
 * @throws ControlError CONTROLS_INVALID
 */
export function parseControls(yaml: string, exists: (path: string) => boolean): Controls {
  if (yaml.length > MAX_CONTROLS) throw invalid(`at most ${MAX_CONTROLS} characters`, `${yaml.length}`);
  const controls = shaped(yaml);
  requireOnce(
    controls.controls.map(({ id }) => id),
    "each control",
  );
  for (const control of controls.controls) requireSound(control, exists);
  requireTimeline(controls.timeline);
  return controls;
}

function shaped(yaml: string): Controls {
  try {
    return parseShape(
      controlsShape,
      parse(yaml, { merge: false, maxAliasCount: 0, uniqueKeys: true, logLevel: "error" }),
      "controls",
    );
  } catch (cause) {
    if (cause instanceof FormatError) throw invalid(cause.expected ?? "-", cause.actual ?? cause.code, cause);
    throw invalid("YAML", (cause as Error).message.split("\n", 1)[0] ?? "-", cause);
  }
}

function requireSound({ id, components, scenarios, reason, references }: Control, exists: (path: string) => boolean): void {
  requireProofOrReason(id, scenarios, reason);
  requireOnce(scenarios ?? [], `${id}: each scenario`);
  requireOnce(references ?? [], `${id}: each reference`);
  const gone = components.find((path) => path.includes("..") || path.startsWith("/") || !exists(path));
  if (gone !== undefined) throw invalid(`${id}: a path of this repository`, gone);
}

function requireTimeline({ moments, zeros, scenario, reason }: Timeline): void {
  requireProofOrReason("timeline", scenario, reason);
  const names = moments.map(({ name }) => name);
  requireOnce(names, "timeline: each moment");
  for (const [index, { name, after }] of moments.entries())
    if (index === 0 ? after !== undefined : after === undefined || !names.slice(0, index).includes(after))
      throw invalid(`timeline: ${name} after a moment that stands before it`, after ?? "none");
  const unknown = zeros.find((zero) => !names.includes(zero));
  if (unknown !== undefined) throw invalid("timeline: a zero that is a moment", unknown);
}

function requireProofOrReason(id: string, proof: unknown, reason: string | undefined): void {
  if ((proof === undefined) === (reason === undefined))
    throw invalid(`${id}: a scenario that shows it, or a reason why none does`, reason === undefined ? "neither" : "both");
}

function requireOnce(names: readonly string[], what: string): void {
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw invalid(`${what} once`, twice);
}

const invalid = (expected: string, actual: string, cause?: unknown) =>
  new ControlError("CONTROLS_INVALID", { expected, actual, cause });
