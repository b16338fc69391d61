import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildSync } from "esbuild";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Sha256, sha256 } from "../../../attest/formats/digest.ts";
import { extendPcr, ZERO_PCR } from "../../../attest/measure/pcr.ts";
import { attributeFaults, parsePublicArea } from "../../../attest/measure/public-area.ts";
import { hasNonce, hasPcrValues, isSignedBy, parseQuote, parseQuoteSignature } from "../../../attest/measure/quote.ts";
import { ToolFolder } from "./tool-root.ts";

// The collector's own code, on the image's Node, with tpm2-tools, against a software TPM; and tpm2-tools' opinion of the result.

const NONCE = "5a".repeat(32);
const top = join(import.meta.dirname, "../../..");
let folder: ToolFolder;

/** A program that quotes the TPM at ./tpm.sock with `quoteTpm` and leaves the parts as files. */
const PROGRAM = `
import { writeFileSync } from "node:fs";
import { quoteTpm } from "./attest/verify/runtime-tpm.ts";
const [algorithm, nonce] = process.argv.slice(2);
const quote = await quoteTpm(nonce, { tcti: "swtpm:path=" + process.cwd() + "/tpm.sock", managed: false, scratch: process.cwd(), algorithm });
for (const name of ["message", "signature", "attestationKey"]) writeFileSync(algorithm + "." + name, quote[name]);
writeFileSync(algorithm + ".pcrs", JSON.stringify([...quote.pcrs]));
`;

beforeAll(() => {
  folder = new ToolFolder();
  const { outputFiles } = buildSync({
    stdin: { contents: PROGRAM, resolveDir: top, loader: "ts" },
    ...{ bundle: true, platform: "node", target: "node20", format: "esm", write: false },
  });
  writeFileSync(join(folder.path, "quote.mjs"), outputFiles[0]?.contents ?? "");
  folder.run(`mkdir tpm
  swtpm socket --tpm2 --tpmstate dir=tpm --server type=unixio,path=tpm.sock --ctrl type=unixio,path=tpm.sock.ctrl \\
    --flags not-need-init,startup-clear &
  export TPM2TOOLS_TCTI=swtpm:path=$PWD/tpm.sock
  for try in $(seq 100); do [ -S tpm.sock ] && break; sleep 0.1; done
  tpm2_pcrextend 11:sha256=${sha256("kernel")}
  for algorithm in ecc rsa; do
    nodejs quote.mjs $algorithm ${NONCE}
    tpm2_print -t TPM2B_PUBLIC -f pem $algorithm.attestationKey > $algorithm.pem
  done
  ls -d secai-evidence-* 2>/dev/null && exit 1
  kill %1`);
});
afterAll(() => folder?.remove());

const read = (name: string) => readFileSync(join(folder.path, name));

describe.each(["ecc", "rsa"])("a quote by an %s key", (algorithm) => {
  const message = () => read(`${algorithm}.message`);
  const signature = () => read(`${algorithm}.signature`);
  const key = (of = algorithm) => parsePublicArea(read(`${of}.attestationKey`));
  const pcrs = () => new Map(JSON.parse(read(`${algorithm}.pcrs`).toString("utf8")) as [number, Sha256][]);

  test("holds in every part", () => {
    const quote = parseQuote(message());
    expect(isSignedBy(message(), parseQuoteSignature(signature()), key().key)).toBe(true);
    expect(hasNonce(quote, Buffer.from(NONCE, "hex"))).toBe(true);
    expect(hasPcrValues(quote, pcrs())).toBe(true);
    expect(attributeFaults(key())).toEqual([]);
    expect(pcrs().get(11)).toBe(extendPcr(ZERO_PCR, sha256("kernel")));
  });

  test("has the public key that tpm2-tools reads from the same bytes", () => {
    expect(key().key.export({ type: "spki", format: "pem" })).toBe(read(`${algorithm}.pem`).toString("utf8"));
  });

  test("is accepted by tpm2_checkquote for the same nonce only", () => {
    const check = (nonce: string) =>
      folder.run(`tpm2_checkquote -u ${algorithm}.pem -m ${algorithm}.message -s ${algorithm}.signature -g sha256 -q ${nonce}`);
    check(NONCE);
    expect(() => check(`${NONCE.slice(2)}00`)).toThrow(/nonce/);
  });

  test("is signed by no other key and over no other bytes", () => {
    const parsed = parseQuoteSignature(signature());
    expect(isSignedBy(message(), parsed, key(algorithm === "ecc" ? "rsa" : "ecc").key)).toBe(false);
    for (const at of [0, 10, 50, message().length - 1]) {
      const changed = message();
      changed[at] = (changed[at] ?? 0) ^ 1;
      expect(isSignedBy(changed, parsed, key().key)).toBe(false);
    }
  });
});
