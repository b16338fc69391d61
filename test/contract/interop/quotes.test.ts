import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { CodedError } from "@secai/formats/errors";
import { vectorParts } from "@secai/measure/fixtures/vectors";
import { parsePublicArea } from "@secai/measure/public-area";
import { hasNonce, isSignedBy, parseQuote, parseQuoteSignature } from "@secai/measure/quote";
import { afterAll, expect, test } from "vitest";
import { ToolFolder } from "../measure/tool-root.ts";

// Quotes of a software TPM, genuine and damaged: tpm2_checkquote and we must say the same of each.

const folder = new ToolFolder();
afterAll(() => folder.remove());
const NONCE = "00112233445566778899aabbccddeeff";

interface Given {
  readonly message: Uint8Array;
  readonly signature: Uint8Array;
  readonly attestationKey: Uint8Array;
  readonly nonce: string;
}
const { message, signature, attestationKey } = vectorParts("plain");
const genuine: Given = { message, signature, attestationKey, nonce: NONCE };
const changed = (bytes: Uint8Array, at: number) => Uint8Array.from(bytes, (byte, index) => (index === at ? byte ^ 1 : byte));

function accepted(judge: () => boolean): boolean {
  try {
    return judge();
  } catch (error) {
    if (error instanceof CodedError) return false;
    throw error;
  }
}

const weAccept = (given: Given): boolean =>
  accepted(
    () =>
      hasNonce(parseQuote(given.message), Buffer.from(given.nonce, "hex")) &&
      isSignedBy(given.message, parseQuoteSignature(given.signature), parsePublicArea(given.attestationKey).key),
  );

function toolAccepts(given: Given): boolean {
  const pem = parsePublicArea(given.attestationKey).key.export({ type: "spki", format: "pem" });
  for (const [name, content] of Object.entries({ message: given.message, signature: given.signature, "key.pem": pem }))
    writeFileSync(join(folder.path, name), content);
  const said = folder.run(
    `tpm2_checkquote -u key.pem -m message -s signature -g sha256 -q ${given.nonce} >/dev/null 2>&1 && echo accepted || echo refused`,
  );
  return said === "accepted\n";
}

const lastByte = (bytes: Uint8Array) => bytes.length - 1;
const cases: readonly { readonly name: string; readonly given: Given; readonly expected: boolean }[] = [
  { name: "a genuine quote", given: genuine, expected: true },
  { name: "another genuine quote", given: { ...genuine, ...vectorParts("addon"), nonce: NONCE }, expected: true },
  { name: "another challenge", given: { ...genuine, nonce: "ff".repeat(16) }, expected: false },
  { name: "half the challenge", given: { ...genuine, nonce: NONCE.slice(0, 16) }, expected: false },
  { name: "another magic", given: { ...genuine, message: changed(message, 0) }, expected: false },
  { name: "another kind of attestation", given: { ...genuine, message: changed(message, 5) }, expected: false },
  { name: "another clock", given: { ...genuine, message: changed(message, 62) }, expected: false },
  { name: "another PCR digest", given: { ...genuine, message: changed(message, lastByte(message)) }, expected: false },
  { name: "another signature", given: { ...genuine, signature: changed(signature, lastByte(signature)) }, expected: false },
  {
    name: "the key of another machine",
    given: { ...genuine, attestationKey: vectorParts("addon").attestationKey },
    expected: false,
  },
  { name: "the signature of another quote", given: { ...genuine, signature: vectorParts("addon").signature }, expected: false },
];
test.each(cases)("tpm2_checkquote and we agree on $name", ({ given, expected }) => {
  expect({ tool: toolAccepts(given), we: weAccept(given) }).toEqual({ tool: expected, we: expected });
});
