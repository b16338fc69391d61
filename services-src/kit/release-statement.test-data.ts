import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { bundleBytes } from "@secai/formats/bundle";
import type { JsonValue } from "@secai/formats/canonical-json";
import { sha256 } from "@secai/formats/digest";
import { preAuthEncoding } from "@secai/formats/dsse";
import { hintOf, parsePublicKey } from "@secai/formats/keys";
import { buildStatement, statementBytes, subjectOf } from "@secai/formats/statement";
import { IN_TOTO_PAYLOAD_TYPE, MEASURED_BOOT_PREDICATE } from "@secai/formats/uris";

// Statements about measured boot as far as an updater looks into them, and a profile that pins who may make them.

export interface Publisher {
  readonly privateKey: KeyObject;
  readonly pem: string;
}

export function publisher(): Publisher {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
  return { privateKey, pem: publicKey.export({ type: "spki", format: "pem" }).toString() };
}

/** A Sigstore bundle of a statement that says `predicate`. */
export function signedStatement(
  predicate: { readonly [name: string]: JsonValue },
  { privateKey, pem }: Publisher,
  type: string = MEASURED_BOOT_PREDICATE,
): Buffer {
  const payload = statementBytes(buildStatement(type, [subjectOf("disk.raw.zst", sha256("disk"))], predicate));
  return bundleBytes({
    kind: "statement",
    keyHint: hintOf(parsePublicKey(Buffer.from(pem))),
    payloadType: IN_TOTO_PAYLOAD_TYPE,
    payload,
    signature: sign("sha256", preAuthEncoding(IN_TOTO_PAYLOAD_TYPE, payload), privateKey),
  });
}

/** A profile by its form; what it pins besides keys is made up. */
export const enrolledWith = (pems: readonly string[]) => ({
  version: 2,
  mode: "hardware",
  ak_fingerprint: "ab".repeat(32),
  pcr_public_key: pems[0] ?? publisher().pem,
  statement_keys: pems,
  pinned_pcrs: { "7": "11".repeat(32), "12": "00".repeat(32) },
  addon: null,
  command_line: "quiet",
  enrolled_deployment: `sha256:${"cd".repeat(32)}`,
  enrolled_at: "2026-01-01T00:00:00.000Z",
  tpm_reset_count: 3,
});
