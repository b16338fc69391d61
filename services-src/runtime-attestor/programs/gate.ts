import { readEnvironment } from "@secai/kit/environment";
import { CodedError } from "@secai/kit/errors";
import { readCredential } from "@secai/kit/files";
import { parseAddress } from "@secai/kit/listen";
import { createLog, errorFields } from "@secai/kit/log";
import { systemClock as clock } from "@secai/kit/sources";
import { AttestorError } from "../errors.ts";
import { passGate } from "../gate.ts";

// What starts only on an attested machine requires the unit that runs this. It ends with 0 once the machine is, with 1 if it is not.

const log = createLog("attestation-gate");
const TRIES = 30;
const PAUSE_MS = 1_000;

try {
  const env = readEnvironment(process.env, { ATTESTATION_VERIFY_ADDR: "127.0.0.1:8505", SERVICE_TOKEN_PATH: undefined });
  const address = parseAddress(env.ATTESTATION_VERIFY_ADDR);
  // A socket's name could be anybody's; a port below loopback is the attestor's while its unit runs.
  if (!("host" in address) || address.port === 0)
    throw new AttestorError("GATE_SETTING", { expected: "127.0.0.1:PORT", actual: env.ATTESTATION_VERIFY_ADDR });
  const token = await readCredential(env.SERVICE_TOKEN_PATH);
  const attestor = { name: "runtime-attestor", address, token };
  const { state, assurance_mode } = await passGate({ attestor, clock, tries: TRIES, pauseMs: PAUSE_MS });
  log("info", "gate open", { state, assurance_mode });
} catch (error) {
  log("error", "gate closed", errorFields(error));
  process.exitCode = error instanceof CodedError ? error.exit : 70;
}
