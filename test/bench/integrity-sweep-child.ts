// `integrity-sweep-child.ts FILE`: hashes one file as the integrity monitor does and prints the seconds it took, as JSON.
import { createBuffers, hashFile } from "../../services-src/integrity-monitor/hash-file.ts";

const [, , path = ""] = process.argv;
const hasher = { buffers: createBuffers() };
const started = performance.now();
const outcome = await hashFile(path, hasher);
process.stdout.write(
  JSON.stringify({
    seconds: (performance.now() - started) / 1000,
    ...("sha256" in outcome ? { sha256: outcome.sha256 } : outcome),
  }),
);
