import { canonicalJson, sha256 } from "@secai/kit/digest";

/** What is watched, by what it means when it changes. */
export const categories = [
  "service_binary",
  "systemd_unit",
  "trust_material",
  "policy_file",
  "model_file",
  "kernel_module",
  "kernel_setting",
  "firewall",
  "listener",
  "mount",
  "state_file",
] as const;
export type Category = (typeof categories)[number];

/** Labels for whoever reads the record; what is done stands in the recorder's containment policy. */
export const actions = {
  service_binary: "degrade_appliance",
  systemd_unit: "degrade_appliance",
  trust_material: "degrade_appliance",
  policy_file: "reload_policy",
  model_file: "quarantine_model",
  kernel_module: "log_alert",
  kernel_setting: "log_alert",
  firewall: "degrade_appliance",
  listener: "log_alert",
  mount: "log_alert",
  state_file: "log_alert",
} as const satisfies Readonly<Record<Category, string>>;

/** One of these is enough for recovery_required. */
export const graveCategories: ReadonlySet<Category> = new Set(["service_binary", "trust_material", "firewall"]);

export const kinds = [
  "changed",
  "missing",
  "unexpected",
  "unreadable",
  "linked",
  "rewritten",
  "unregistered",
  "manifest",
  "covered",
] as const;
export type Kind = (typeof kinds)[number];

export interface Violation {
  readonly category: Category;
  /** A path, or a name of the same length at most: a module, a socket, a setting. */
  readonly path: string;
  readonly kind: Kind;
  readonly expected: string;
  readonly actual: string;
  /** Name of a registered model; only where there is one. */
  readonly model?: string;
}

/** Longest expected or actual value that is kept of a violation. */
const MAX_VALUE_CHARS = 256;

export function violation(
  category: Category,
  path: string,
  kind: Kind,
  expected: string,
  actual: string,
  model?: string,
): Violation {
  return {
    category,
    path: printable(path, 512),
    kind,
    expected: printable(expected, MAX_VALUE_CHARS),
    actual: printable(actual, MAX_VALUE_CHARS),
    ...(model === undefined ? {} : { model: printable(model, 255) }),
  };
}

/** Text from outside as a record may hold it: printable ASCII, the end cut off. */
function printable(text: string, maxChars: number): string {
  // Cut first: whoever chooses the text must not choose how much work it is.
  const shown = text
    .slice(0, maxChars + 1)
    .replaceAll(/[^ -~]/gu, (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`);
  return shown.length <= maxChars ? shown : `${shown.slice(0, maxChars - 3)}...`;
}

/** Two violations with the same key are the same standing fault, whatever the content is now. */
export const violationKey = ({ category, path }: Pick<Violation, "category" | "path">): string => `${category}\0${path}`;

/** In order, each key once. */
export function sortViolations(violations: readonly Violation[]): readonly Violation[] {
  const byKey = new Map(violations.map((one) => [violationKey(one), one]));
  return [...byKey.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, one]) => one);
}

/** SHA-256 of the canonical JSON of these violations, sorted: of all that is known of them. */
export function digestOf(violations: readonly Violation[]): string {
  return sha256(canonicalJson(sortViolations(violations).map((one) => ({ ...one }))));
}

/** SHA-256 over category NUL path NUL of each violation, sorted: names one standing set of faults. */
export function fingerprintOf(violations: readonly Violation[]): string {
  return sha256(
    sortViolations(violations)
      .map((one) => `${violationKey(one)}\0`)
      .join(""),
  );
}
