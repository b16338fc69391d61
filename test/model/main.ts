// Writes the small model that probes and qualifications run, for tests that need one as a file: main.ts FILE
import { writeFileSync } from "node:fs";
import { sha256 } from "@secai/formats/digest";
import { tinyModelBytes } from "@secai/gpu/tiny-model";

const [path, ...more] = process.argv.slice(2);
if (path === undefined || more.length > 0) {
  console.error("usage: node scripts/setup.mjs test/model/main.ts FILE");
  process.exit(2);
}
const bytes = tinyModelBytes();
writeFileSync(path, bytes, { flag: "wx" });
console.log(`${path}: ${bytes.length} bytes, sha256 ${sha256(bytes)}`);
