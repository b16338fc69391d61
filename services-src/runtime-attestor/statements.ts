import { parseBundle } from "@secai/formats/bundle";
import type { Sha256 } from "@secai/formats/digest";
import { hintOf, parsePublicKey } from "@secai/formats/keys";
import type { Measurements } from "@secai/measure/measurements";
import { derive, type Found } from "@secai/verify/found";
import { openStatement } from "@secai/verify/runtime-statement";
import type { RoleKeys } from "@secai/verify/trust-signers";

/** Whoever's signature counts for measured-boot statements: any one of the enrolled keys. */
function enrolledKeys(pems: readonly string[]): RoleKeys {
  const keys = pems.map((pem) => parsePublicKey(Buffer.from(pem)));
  return { role: "release", threshold: 1, signatures: "any", standing: new Map(keys.map((key) => [hintOf(key), key] as const)) };
}

/** A signed statement about measured boot, opened with the enrolled keys. */
export function openWith(bundle: Uint8Array, pems: readonly string[]): Found<Measurements> {
  return derive({ state: "found", value: bundle }, (bytes) => openStatement(parseBundle(bytes), enrolledKeys(pems)));
}

/**
 * The statement that promises this root hash. A file that cannot be trusted is no statement; it is named when there is no better one, for
 * somebody may have put it there.
 */
export function statementFor(
  rootHash: Sha256 | null,
  bundles: readonly Uint8Array[],
  pems: readonly string[],
): Found<Measurements> {
  const opened = bundles.map((bundle) => openWith(bundle, pems));
  const fitting = opened.find((found) => found.state === "found" && found.value.rootHash === rootHash);
  if (fitting !== undefined) return fitting;
  const refused = opened.find((found) => found.state === "refused");
  if (refused !== undefined && refused.state === "refused") return { ...refused, code: "STATEMENT_UNTRUSTED" };
  return { state: "absent", code: "STATEMENT_MISSING", detail: `none for root hash ${rootHash ?? "unknown"}` };
}
