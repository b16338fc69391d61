// Prints the evidence of the machine it runs on, as one JSON document, for `secai verify runtime`. Runs as root.
// node secai-evidence.mjs --nonce HEX       HEX: 16 to 32 bytes the verifier chose for this once
import { CodedError } from "@secai/formats/errors";
import { collectEvidence } from "./runtime-collect.ts";
import { RuntimeError } from "./runtime-errors.ts";
import { NONCE, printEvidence } from "./runtime-evidence.ts";

function nonceFrom(args: readonly string[]): string {
  const [flag, value] = args;
  if (args.length !== 2 || flag !== "--nonce" || value === undefined || !NONCE.test(value)) {
    throw new RuntimeError("RUNTIME_USAGE", {
      expected: "--nonce and 16 to 32 bytes as lower-case hex",
      actual: `${args.length} arguments`,
    });
  }
  return value;
}

try {
  process.stdout.write(printEvidence(collectEvidence(nonceFrom(process.argv.slice(2)))));
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = error instanceof CodedError ? error.exit : 70;
}
