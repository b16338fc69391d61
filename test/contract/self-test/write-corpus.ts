// Makes the cases of `secai verify self-test` anew, after a check or a mutation changed:
//   node scripts/setup.mjs test/contract/self-test/write-corpus.ts
// Writes nothing while the verifier and the authors of the cases disagree.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { top } from "../../../scripts/house/tree.ts";
import { corpusFile, generateCorpus } from "./generate.ts";

const { corpus, mistakes } = await generateCorpus();
for (const mistake of mistakes) console.error(mistake);
if (mistakes.length > 0) process.exitCode = 1;
else {
  const file = corpusFile(corpus);
  writeFileSync(join(top, "attest/verify/self-test/corpus.json"), file);
  console.log(`${corpus.cases.length} cases, ${corpus.blobs.length} contents, ${file.length} bytes`);
}
