// Predicts what the TPM of a machine that boots this image will show, and describes the image's boot chain.
// predict --uki FILE --bootloader FILE --keys DIR --root-hash FILE --out FILE    (keys: PK.crt, KEK.crt, db.crt, guid)
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseSha256 } from "@secai/formats/digest";
import { buildMeasurements, printMeasurements } from "@secai/measure/measurements";
import { readFlags } from "./tool.ts";

const flag = readFlags(process.argv.slice(2));
const key = (name: string) => readFileSync(join(flag("keys"), name));

const measurements = buildMeasurements({
  // A build knows no other kind of key than those made on its machine; promotion signs its own statement.
  designation: "dev",
  rootHash: parseSha256(readFileSync(flag("root-hash"), "utf8").trim()),
  uki: readFileSync(flag("uki")),
  bootloader: readFileSync(flag("bootloader")),
  ownerGuid: key("guid").toString("utf8").trim(),
  PK: key("PK.crt"),
  KEK: key("KEK.crt"),
  db: [key("db.crt")],
});
writeFileSync(flag("out"), printMeasurements(measurements));
for (const [index, value] of Object.entries(measurements.pcrs.sha256)) console.error(`PCR ${index.padStart(2)} ${value}`);
