import { BOOT_LOADER_FILE, UKI_FILE } from "@secai/formats/release-layout";
import type { Measurements } from "@secai/measure/measurements";
import { predictPcrs } from "@secai/measure/predict";
import { derive, type Found } from "./found.ts";

/** The Secure Boot certificates that a release shows. */
export const CERTIFICATES = ["PK", "KEK", "db"] as const;

/** Every value that a release promises about a boot, by a name for people. */
export type PredictedValues = Readonly<Record<string, string>>;

/** The prediction that a release's measurements hold, made here once more of the files that ship. */
export function predictAgain(
  measurements: Found<Measurements>,
  bytesOf: (name: string) => Found<Buffer>,
): Found<PredictedValues> {
  if (measurements.state !== "found") return measurements;
  const names = [UKI_FILE, BOOT_LOADER_FILE, ...CERTIFICATES.map((name) => `keys/${name}.crt`)];
  const parts = names.map(bytesOf);
  const missing = parts.find((part) => part.state !== "found");
  if (missing !== undefined) return missing;
  const [uki, bootloader, PK, KEK, db] = parts.flatMap((part) => (part.state === "found" ? [part.value] : []));
  if (!uki || !bootloader || !PK || !KEK || !db) return { state: "absent", code: "FILE_MISSING", detail: "a boot file" };
  return derive(measurements, ({ secureBoot: { ownerGuid } }) => {
    const { pcrs, pcr11Phases, ...others } = predictPcrs({ uki, bootloader, PK, KEK, db: [db], ownerGuid });
    return valuesOf(pcrs, pcr11Phases, others);
  });
}

export function promisedValues({ pcrs, pcr11Phases, uki, bootloader, commandLine, initrd }: Measurements): PredictedValues {
  return valuesOf(pcrs.sha256, pcr11Phases, {
    ukiAuthenticode: uki.authenticode,
    bootloaderAuthenticode: bootloader.authenticode,
    commandLine,
    ...(initrd !== undefined && { initrd }),
  });
}

type Values = Readonly<Record<string, string>>;

function valuesOf(pcrs: Values, phases: Values, others: Values): PredictedValues {
  const named = (prefix: string, values: Values) =>
    Object.entries(values).map(([name, value]) => [`${prefix} ${name}`, value] as const);
  return { ...Object.fromEntries([...named("PCR", pcrs), ...named("PCR 11 after", phases)]), ...others };
}
