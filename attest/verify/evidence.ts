// Answers `secai verify runtime` about the machine it runs on, as one JSON document. Runs as root.
// node secai-evidence.mjs --nonce HEX       evidence; HEX: 16 to 32 bytes the verifier chose for this once
// node secai-evidence.mjs --activate HEX    what is inside a credential made for this machine's keys
import { CodedError } from "@secai/formats/errors";
import { CREDENTIAL, printActivation } from "./runtime-activation.ts";
import { collectEvidence } from "./runtime-collect.ts";
import { RuntimeError } from "./runtime-errors.ts";
import { NONCE, printEvidence } from "./runtime-evidence.ts";
import { activateCredential, MACHINE_TPM } from "./runtime-tpm.ts";

async function answer(args: readonly string[]): Promise<string> {
  const [flag, value = ""] = args;
  if (args.length === 2 && flag === "--nonce" && NONCE.test(value)) return printEvidence(await collectEvidence(value));
  if (args.length === 2 && flag === "--activate" && CREDENTIAL.test(value))
    return printActivation(await opened(Buffer.from(value, "hex")));
  throw new RuntimeError("RUNTIME_USAGE", {
    expected: "--nonce with 16 to 32 bytes, or --activate with a credential, as lower-case hex",
    actual: `${args.length} arguments`,
  });
}

/** Undefined: made for other keys, or the TPM cannot at all. The verifier counts both as a refusal. */
async function opened(credential: Uint8Array): Promise<Uint8Array | undefined> {
  try {
    return await activateCredential(credential, MACHINE_TPM);
  } catch (error) {
    if (error instanceof RuntimeError && error.code === "TPM_COMMAND_FAILED") return undefined;
    throw error;
  }
}

try {
  process.stdout.write(await answer(process.argv.slice(2)));
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = error instanceof CodedError ? error.exit : 70;
}
