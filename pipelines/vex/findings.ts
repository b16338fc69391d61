import { parseJson } from "@secai/formats/canonical-json";
import { vulnerabilityIdShape } from "@secai/formats/openvex";
import { list, object, parseShape } from "@secai/formats/shape";
import { lineShape } from "@secai/formats/shapes";
import { VexError } from "./errors.ts";
import type { Waiver, Waivers } from "./waivers.ts";

const findingsShape = list(object({ id: vulnerabilityIdShape, package: lineShape }), { max: 100_000 });
export interface Finding {
  readonly id: string;
  readonly package: string;
}

/** What a scanner found: a JSON array of `{"id", "package"}`. @throws FormatError JSON_MALFORMED, JSON_TOO_LARGE, SCHEMA_MISMATCH */
export function parseFindings(bytes: Uint8Array): readonly Finding[] {
  return parseShape(findingsShape, parseJson(bytes, 16 << 20), "findings: an array of id and package");
}

export interface Judged {
  readonly waived: readonly Finding[];
  readonly open: readonly Finding[];
  /** Waivers that no finding needed; a hint, not a fault. */
  readonly unused: readonly Waiver[];
}

/** A finding is waived by a waiver of its vulnerability in its package. The waivers' dates are `requireCurrent`'s to judge. */
export function judgeFindings({ waivers }: Waivers, findings: readonly Finding[]): Judged {
  const covers = (waiver: Waiver, finding: Finding) => waiver.id === finding.id && waiver.package === finding.package;
  return {
    waived: findings.filter((finding) => waivers.some((waiver) => covers(waiver, finding))),
    open: findings.filter((finding) => !waivers.some((waiver) => covers(waiver, finding))),
    unused: waivers.filter((waiver) => !findings.some((finding) => covers(waiver, finding))),
  };
}

/** @throws VexError VULNERABILITY_OPEN */
export function requireWaived({ open }: Judged): void {
  if (open.length === 0) return;
  const named = open.slice(0, 5).map((finding) => `${finding.id} in ${finding.package}`);
  throw new VexError("VULNERABILITY_OPEN", {
    expected: "a waiver for every finding",
    actual: `${open.length}: ${named.join(", ")}`,
  });
}
