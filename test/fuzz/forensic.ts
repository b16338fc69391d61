import { auditRecord, exampleForensic, exampleIncident, signForensic } from "../../attest/formats/forensic.test-data.ts";
import { parseForensic, verifyForensic } from "../../attest/formats/forensic.ts";
import { fixedEd25519 } from "./fixed-keys.ts";
import type { Target } from "./target.ts";

// What a machine exported about its incidents, as it is read wherever somebody looks into it.

const recorder = fixedEd25519(7);
const mac = (character: string): string => character.repeat(64);
const quiet = { ...exampleForensic, incidents: [], system_state: { ...exampleForensic.system_state, total_incidents: 0 } };
const busy = {
  ...exampleForensic,
  incidents: [exampleIncident, { ...exampleIncident, id: "INC-20260101-000000-0002", resolved_at: "2026-01-01T00:00:01Z" }],
  system_state: { ...exampleForensic.system_state, total_incidents: 2 },
  audit_entries: [auditRecord(3, mac("2"), mac("3")), ...exampleForensic.audit_entries],
};
const contents = [exampleForensic, quiet, busy];
const printed = (content: object): Buffer => Buffer.from(JSON.stringify(content));

/** Signed only now, so that what lies behind the signature is reached: only the recorder's own key could make it so. */
function verifySigned(content: Buffer): unknown {
  const text = content.toString("utf8").trimEnd();
  const placeholder = JSON.stringify(signForensic({}, recorder).signature);
  const { signature: _, ...payload } = parseForensic(Buffer.from(`${text.slice(0, -1)},"signature":${placeholder}}`));
  return verifyForensic(printed(signForensic(payload, recorder)), recorder.pem);
}

export const forensicTargets = (): readonly Target[] => [
  {
    name: "forensic",
    seeds: contents.map((content) => printed(signForensic(content, recorder))),
    parse: (bytes) => verifyForensic(bytes, recorder.pem),
  },
  { name: "forensic-content", seeds: contents.map(printed), parse: verifySigned },
];
