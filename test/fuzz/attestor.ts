import { strict as assert } from "node:assert";
import { sign } from "node:crypto";
import { bundleBytes, parseBundle } from "../../attest/formats/bundle.ts";
import { canonicalJson } from "../../attest/formats/canonical-json.ts";
import { preAuthEncoding } from "../../attest/formats/dsse.ts";
import { hintOf, parsePublicKey } from "../../attest/formats/keys.ts";
import { buildStatement, statementBytes, subjectOf } from "../../attest/formats/statement.ts";
import { IN_TOTO_PAYLOAD_TYPE, MEASURED_BOOT_PREDICATE } from "../../attest/formats/uris.ts";
import type { Measurements } from "../../attest/measure/measurements.ts";
import { isSignedPcr11, parsePcrKey, parsePcrSignatures } from "../../attest/measure/pcr-signature.ts";
import { openStatement } from "../../attest/verify/runtime-statement.ts";
import { statementKeysIn } from "../../services-src/kit/enrolment.ts";
import { claimedRoot } from "../../services-src/kit/release-statement.ts";
import { addonPcr, pcrSignaturesOf, testAddon, testRelease } from "../../services-src/runtime-attestor/boot.test-data.ts";
import { expectationsOf } from "../../services-src/runtime-attestor/expectations.ts";
import { type HardwareProfile, parseProfile, printProfile } from "../../services-src/runtime-attestor/profile.ts";
import { statementFor } from "../../services-src/runtime-attestor/statements.ts";
import { fixedP256 } from "./fixed-keys.ts";
import type { Target } from "./target.ts";

// What the attestor reads of folders that others may reach: the enrolment profile, statements about releases, signatures over PCR 11.

const owner = fixedP256(1);
const pcrKey = fixedP256(2);
const next = testRelease("next");
const { measurements } = next;
const ZERO = "0".repeat(64);

const profile: HardwareProfile = {
  version: 2,
  mode: "hardware",
  ak_fingerprint: "ab".repeat(32),
  pcr_public_key: pcrKey.pem,
  statement_keys: [owner.pem],
  pinned_pcrs: { "7": "11".repeat(32), "12": ZERO },
  addon: null,
  command_line: measurements.commandLine,
  enrolled_deployment: `sha256:${measurements.rootHash}`,
  enrolled_at: "2026-01-01T00:00:00.000Z",
  tpm_reset_count: 3,
};
const withAddon: HardwareProfile = {
  ...profile,
  statement_keys: [],
  addon: { authenticode: testAddon.authenticode, command_line: testAddon.commandLine },
  pinned_pcrs: { "4": "44".repeat(32), "7": "11".repeat(32), "9": "99".repeat(32), "12": addonPcr(testAddon) },
};
const profiles = [profile, withAddon, { version: 2, mode: "evaluation" } as const];

/** The updater looks at the same file: what the attestor goes by it must understand in the same way. */
function readProfile(bytes: Buffer): unknown {
  const read = parseProfile(bytes);
  assert.deepEqual(statementKeysIn(bytes), read.mode === "hardware" ? read.statement_keys : []);
  return read;
}

/** A bundle as the owner's key makes it; ECDSA signatures are never the same twice, so the bundle differs from run to run. */
function bundleOf(payload: Buffer): Buffer {
  const keyHint = hintOf(parsePublicKey(Buffer.from(owner.pem)));
  const signature = sign("sha256", preAuthEncoding(IN_TOTO_PAYLOAD_TYPE, payload), owner.privateKey);
  return bundleBytes({ kind: "statement", keyHint, payloadType: IN_TOTO_PAYLOAD_TYPE, payload, signature });
}

const keys = {
  role: "release",
  threshold: 1,
  signatures: "any",
  standing: new Map([owner].map(({ pem }) => [hintOf(parsePublicKey(Buffer.from(pem))), parsePublicKey(Buffer.from(pem))])),
} as const;

/** Read as the attestor, the verifier and the updater's housekeeping do: none of them may fall, and they must see the same. */
function readStatement(bundle: Buffer): Measurements {
  const claimed = claimedRoot(bundle);
  const chosen = statementFor(measurements.rootHash, [bundle], [owner.pem]);
  const opened = openStatement(parseBundle(bundle), keys);
  assert.equal(claimed, opened.rootHash);
  assert.equal(chosen.state, opened.rootHash === measurements.rootHash ? "found" : "absent");
  for (const one of [profile, withAddon])
    expectationsOf({
      profile: one,
      statements: [bundle],
      pcrSignatures: { state: "absent", code: "NONE", detail: "-" },
      rootHash: opened.rootHash,
      pcr11: undefined,
    });
  return opened;
}

function readPcrSignatures(bytes: Buffer): unknown {
  const signatures = parsePcrSignatures(bytes);
  return isSignedPcr11(signatures, measurements.pcrs.sha256["11"], parsePcrKey(pcrKey.pem).key);
}

export function attestorTargets(): readonly Target[] {
  const statement = buildStatement(MEASURED_BOOT_PREDICATE, [subjectOf("uki.efi", measurements.uki.sha256)], measurements);
  const payload = statementBytes(statement);
  return [
    {
      name: "enrolment-profile",
      seeds: [...profiles.map(printProfile), ...profiles.map(canonicalJson)].map((text) => Buffer.from(text)),
      parse: readProfile,
    },
    { name: "boot-statement", seeds: [bundleOf(payload)], parse: readStatement },
    // Signed only now: what the enrolled owner's own key could say.
    { name: "boot-statement-content", seeds: [payload], parse: (bytes) => readStatement(bundleOf(bytes)) },
    { name: "pcr-signature", seeds: [Buffer.from(pcrSignaturesOf(next, pcrKey))], parse: readPcrSignatures },
  ];
}
