import type { Violation } from "./wire.ts";

const OWN: readonly string[] = ["state_file", "trust_material", "systemd_unit"];

/** Whether it can be this machine's own file. Whether it is, the monitor says: it knows its policy. */
export const isPerhapsOwn = ({ category }: Violation): boolean => OWN.includes(category);

/** The members of a violation that are words, in their order. */
export const sentence = (violation: object): string =>
  Object.entries(violation)
    .filter(([, value]) => typeof value === "string" || typeof value === "number")
    .map(([key, value]) => `${key}=${String(value)}`)
    .join(" ");

/** In a few words, for a line that holds several. */
export const nameOf = ({ category, path, kind }: Violation): string => `${category} ${path} ${kind}`;
