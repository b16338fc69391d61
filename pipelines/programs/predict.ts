// Predicts what the TPM of a machine that boots this image will show, and describes the image's boot chain.
// predict --designation NAME --uki FILE --bootloader FILE --keys DIR --root-hash FILE --out FILE --keylime FILE
//         (keys: PK.crt, KEK.crt, db.crt, guid)
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseSha256 } from "@secai/formats/digest";
import { buildKeylimeState, printKeylimeState } from "@secai/measure/keylime";
import { buildMeasurements, printMeasurements } from "@secai/measure/measurements";
import { readFlags } from "./tool.ts";

const flag = readFlags(process.argv.slice(2));
const key = (name: string) => readFileSync(join(flag("keys"), name));

const certificates = { PK: key("PK.crt"), KEK: key("KEK.crt"), db: [key("db.crt")] };
const measurements = buildMeasurements({
  designation: flag("designation"),
  rootHash: parseSha256(readFileSync(flag("root-hash"), "utf8").trim()),
  uki: readFileSync(flag("uki")),
  bootloader: readFileSync(flag("bootloader")),
  ownerGuid: key("guid").toString("utf8").trim(),
  ...certificates,
});
writeFileSync(flag("out"), printMeasurements(measurements));
writeFileSync(flag("keylime"), printKeylimeState(buildKeylimeState(measurements, certificates)));
for (const [index, value] of Object.entries(measurements.pcrs.sha256)) console.error(`PCR ${index.padStart(2)} ${value}`);
