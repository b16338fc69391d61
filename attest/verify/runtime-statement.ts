import type { Bundle } from "@secai/formats/bundle";
import { canonicalJson } from "@secai/formats/canonical-json";
import { FormatError } from "@secai/formats/errors";
import { parseStatement } from "@secai/formats/statement";
import { MEASURED_BOOT_PREDICATE } from "@secai/formats/uris";
import { type Measurements, parseMeasurements } from "@secai/measure/measurements";
import { type RoleKeys, signersOf, thresholdRefusal } from "./trust-signers.ts";

/**
 * The measurements inside a signed statement, once enough trusted keys' signatures over it hold.
 * @throws FormatError SIGNATURE_INVALID, SCHEMA_MISMATCH and others; MeasureError MEASUREMENTS_MALFORMED
 */
export function openStatement(bundle: Bundle, keys: RoleKeys): Measurements {
  const signers = signersOf([{ name: "the measurements", bundle }], keys);
  const refused = signers.uncounted[0] ?? thresholdRefusal(signers, keys);
  if (signers.payload === undefined || refused !== undefined) {
    throw new FormatError("SIGNATURE_INVALID", {
      expected: refused?.expected ?? "a statement signed by a trusted key",
      actual: `${refused?.code ?? "none"}: ${refused?.actual ?? bundle.kind}`,
    });
  }
  const statement = parseStatement(signers.payload);
  if (statement.predicateType !== MEASURED_BOOT_PREDICATE) {
    throw new FormatError("SCHEMA_MISMATCH", { expected: MEASURED_BOOT_PREDICATE, actual: statement.predicateType });
  }
  return parseMeasurements(Buffer.from(`${canonicalJson(statement.predicate)}\n`));
}
