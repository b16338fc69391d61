import { parseJson } from "@secai/formats/canonical-json";
import type { OpenVex, VexStatement } from "@secai/formats/openvex";
import { VEX_CYCLONEDX_FILE } from "@secai/formats/release-layout";
import { releasePredicate } from "@secai/formats/release-statement";
import { anyObject, list, literal, parseShape } from "@secai/formats/shape";
import { about, fail, notPresent, pass, type SubjectResult } from "./check.ts";
import { bytesOf } from "./measurements-checks.ts";
import { derive, given, type ReleaseCheck, when } from "./release-evidence.ts";

const NONE = "this release has no VEX document";

export const vexShapeCheck: ReleaseCheck = {
  id: "vex.shape",
  title: "The VEX document is OpenVEX, with a reason for each statement",
  asks: "Whether vex/openvex.json is OpenVEX 0.2.0, names no vulnerability twice, and says why each one does not matter or what to do about it.",
  codes: [],
  optional: true,
  run: ({ vex }) => (vex.state === "absent" ? notPresent(NONE) : when(vex, () => pass)),
};

export const vexProductCheck: ReleaseCheck = {
  id: "vex.product",
  title: "Every VEX statement is about this image",
  asks: "Whether the product of each statement is the package URL of this recipe and version.",
  codes: ["VEX_OF_OTHER_PRODUCT", "EVIDENCE_UNUSABLE"],
  optional: true,
  run({ vex, manifest }) {
    if (vex.state === "absent") return notPresent(NONE);
    return given(vex, "the VEX document", ({ statements }) =>
      given(manifest, "the manifest", ({ recipe, tag }) => {
        const { purl } = releasePredicate(recipe, tag);
        const products = statements.flatMap(({ products: named }) => named.map((product) => product["@id"]));
        const other = products.find((product) => product !== purl);
        return other === undefined ? pass : fail("VEX_OF_OTHER_PRODUCT", purl, other);
      }),
    );
  },
};

/** The last day on which a statement holds, as our waivers write it into the notes. */
const VALID_UNTIL = /(?:^|; )valid until (\d{4}-\d{2}-\d{2})$/;

export const vexExpiryCheck: ReleaseCheck = {
  id: "vex.expiry",
  title: "Every VEX statement still holds",
  asks: "Whether the day until which a statement says that it is valid has not passed (as of --at). A statement without such a day holds as long as the release.",
  codes: ["VEX_EXPIRED", "EVIDENCE_UNUSABLE"],
  optional: true,
  run({ vex, atMs }) {
    if (vex.state !== "found") return vex.state === "absent" ? notPresent(NONE) : given(vex, "the VEX document", () => pass);
    const today = new Date(atMs).toISOString().slice(0, 10);
    const results = vex.value.statements.map(({ vulnerability, status_notes }): SubjectResult => {
      const until = VALID_UNTIL.exec(status_notes ?? "")?.[1];
      const over = until !== undefined && until < today;
      return about(vulnerability.name, over ? fail("VEX_EXPIRED", `valid on ${today}`, `valid until ${until}`) : pass);
    });
    return results.length === 0 ? pass : results;
  },
};

/** CycloneDX's word for a status; the first is what our builder writes. */
const STATES: Readonly<Record<VexStatement["status"], readonly string[]>> = {
  not_affected: ["not_affected", "false_positive"],
  affected: ["exploitable"],
  fixed: ["resolved", "resolved_with_pedigree"],
  under_investigation: ["in_triage"],
};

export const vexAgreementCheck: ReleaseCheck = {
  id: "vex.agreement",
  title: "Both VEX documents say the same of the same vulnerabilities",
  asks: "Whether vex/vex.cdx.json (CycloneDX) names the vulnerabilities of vex/openvex.json, each with the state that its status stands for.",
  codes: ["VEX_DIFFERS", "EVIDENCE_UNUSABLE"],
  optional: true,
  run(evidence) {
    const cyclonedx = bytesOf(evidence, VEX_CYCLONEDX_FILE);
    if (cyclonedx.state === "absent" && evidence.vex.state === "absent") return notPresent(NONE);
    if (cyclonedx.state === "absent") return notPresent("VEX is not given as CycloneDX");
    return when(derive(cyclonedx, statesOf), (states) =>
      given(evidence.vex, "the VEX document", (vex) => {
        const other = differenceOf(vex, states);
        return other === undefined ? pass : fail("VEX_DIFFERS", other.expected, other.actual);
      }),
    );
  },
};

/** Analysis state by vulnerability. @throws FormatError JSON_TOO_LARGE, JSON_MALFORMED, SCHEMA_MISMATCH */
function statesOf(bytes: Uint8Array): ReadonlyMap<string, string> {
  const document = parseShape(anyObject, parseJson(bytes, 4 << 20), "a CycloneDX VEX document");
  parseShape(literal("CycloneDX"), document.bomFormat, "CycloneDX: bomFormat");
  const vulnerabilities = parseShape(list(anyObject), document.vulnerabilities ?? [], "CycloneDX: vulnerabilities");
  return new Map(
    vulnerabilities.map(({ id, analysis }) => {
      const { state } = parseShape(anyObject, analysis ?? {}, "CycloneDX: analysis");
      return [String(id), String(state)] as const;
    }),
  );
}

function differenceOf({ statements }: OpenVex, states: ReadonlyMap<string, string>) {
  const named = new Set(statements.map(({ vulnerability }) => vulnerability.name));
  const extra = [...states.keys()].find((id) => !named.has(id));
  if (extra !== undefined) return { expected: "vulnerabilities of the OpenVEX document", actual: extra };
  const wrong = statements.find(({ vulnerability, status }) => !STATES[status].includes(states.get(vulnerability.name) ?? ""));
  if (wrong === undefined) return undefined;
  const { name } = wrong.vulnerability;
  return { expected: `${name}: ${STATES[wrong.status].join(" or ")}`, actual: states.get(name) ?? "not named" };
}
