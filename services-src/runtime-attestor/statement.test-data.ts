import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { bundleBytes } from "@secai/formats/bundle";
import { preAuthEncoding } from "@secai/formats/dsse";
import { hintOf, parsePublicKey } from "@secai/formats/keys";
import { buildStatement, statementBytes, subjectOf } from "@secai/formats/statement";
import { IN_TOTO_PAYLOAD_TYPE, MEASURED_BOOT_PREDICATE } from "@secai/formats/uris";
import type { Measurements } from "@secai/measure/measurements";

export interface StatementKey {
  readonly privateKey: KeyObject;
  readonly pem: string;
}

export function statementKey(): StatementKey {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
  return { privateKey, pem: publicKey.export({ type: "spki", format: "pem" }).toString() };
}

/** A measurements.json.sigstore.json. */
export function signedStatement(measurements: Measurements, { privateKey, pem }: StatementKey): Buffer {
  const statement = buildStatement(MEASURED_BOOT_PREDICATE, [subjectOf("uki.efi", measurements.uki.sha256)], measurements);
  const payload = statementBytes(statement);
  return bundleBytes({
    kind: "statement",
    keyHint: hintOf(parsePublicKey(Buffer.from(pem))),
    payloadType: IN_TOTO_PAYLOAD_TYPE,
    payload,
    signature: sign("sha256", preAuthEncoding(IN_TOTO_PAYLOAD_TYPE, payload), privateKey),
  });
}
