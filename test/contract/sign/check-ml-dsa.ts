// Checks an ML-DSA-65 bundle on whatever Node runs it; ml-dsa.test.ts bundles it for the appliance's Node.
//   check-ml-dsa.mjs KEY BUNDLE FILE
import { readFileSync } from "node:fs";
import { parseBundle } from "@secai/formats/bundle";
import { CodedError } from "@secai/formats/errors";
import { parsePublicKey } from "@secai/formats/keys";
import { verifyMessageBundle } from "@secai/formats/signature";
import { prepareMlDsa } from "@secai/verify/ml-dsa";

const [key = "", bundle = "", file = ""] = process.argv.slice(2);
await prepareMlDsa();
const outcome = (): string => {
  try {
    const read = parseBundle(readFileSync(bundle));
    if (read.kind !== "message") return "a statement";
    verifyMessageBundle(read, readFileSync(file), parsePublicKey(readFileSync(key)));
    return "accepted";
  } catch (error) {
    return error instanceof CodedError ? error.code : String(error);
  }
};
process.stdout.write(JSON.stringify({ node: process.version, outcome: outcome() }));
