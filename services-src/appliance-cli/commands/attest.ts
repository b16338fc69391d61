import { randomBytes } from "node:crypto";
import { type SignedState, STATE_BUNDLE_DOMAIN, signedState } from "@secai/kit/api/attestation";
import { ask } from "@secai/kit/client";
import { publicName } from "@secai/kit/credential-names";
import { isSignedBy, readPublicKey } from "@secai/kit/signing";
import type { Command, Exit, Invocation } from "../command.ts";
import { CliError } from "../errors.ts";
import { cell } from "../output.ts";
import { securityStatus } from "../wire.ts";

/** A quote of a TPM and everything that it is compared with. */
const REFRESH_LIMIT_MS = 60_000;

async function run(invocation: Invocation): Promise<Exit> {
  const [verb = "status", ...rest] = invocation.words;
  if (rest.length > 0) throw new CliError("CLI_USAGE", { expected: "no further words", actual: rest.join(" ") });
  if (verb === "status") return status(invocation);
  if (verb === "refresh") return refresh(invocation);
  throw new CliError("CLI_USAGE", { expected: "status or refresh", actual: verb });
}

async function status({ machine, out }: Invocation): Promise<Exit> {
  const peer = await machine.peer("runtime-attestor", "attest");
  const answer = await ask(peer, { method: "GET", path: "/api/security/status", response: securityStatus });
  const { failures, ...facts } = answer;
  const isAttested = answer.attestation_state === "attested";
  out.table(
    ["WHAT", "IS"],
    [
      ["state", cell(answer.attestation_state, isAttested ? "good" : "bad")],
      ["assurance", cell(answer.assurance_mode, answer.assurance_mode === "hardware" ? "good" : "warning")],
      ["release", answer.release_version],
      ...yesNo("quote of the TPM verified", facts.tpm_quote_verified),
      ...yesNo("Secure Boot", facts.secure_boot),
      ...yesNo("root file system verified", facts.deployment_verified),
      ...yesNo("values of the release", facts.release_baseline_verified),
      ["last attested", answer.last_attested ?? "never"],
    ],
  );
  showFailures(out, failures);
  out.value(answer);
  return isAttested ? 0 : 1;
}

const yesNo = (what: string, is: boolean) => [[what, cell(is ? "yes" : "no", is ? "good" : "warning")]];

function showFailures(out: Invocation["out"], failures: SignedState["bundle"]["failures"]): void {
  if (failures.length === 0) return;
  out.line("");
  out.table(
    ["CHECK", "CODE", "EXPECTED", "ACTUAL"],
    failures.map(({ check, code, expected, actual }) => [check, cell(code, "bad"), expected, actual]),
  );
}

/** The answer counts only with our nonce in it and the attestor's signature over it. */
async function refresh({ machine, out }: Invocation): Promise<Exit> {
  const peer = await machine.peer("runtime-attestor", "attest");
  const key = await readPublicKey(await machine.credential(publicName("runtime-attestor-signing.key")));
  const request_nonce = randomBytes(32).toString("hex");
  const options = { response: signedState, timeoutMs: REFRESH_LIMIT_MS } as const;
  const { bundle, signature } = await ask(peer, { method: "POST", path: "/api/v1/refresh", body: { request_nonce }, ...options });
  if (!isSignedBy(key, STATE_BUNDLE_DOMAIN, bundle, signature.value))
    throw new CliError("CLI_SIGNATURE", {
      expected: "a signature of runtime-attestor-signing.key",
      actual: `one of key ${signature.key_id}`,
    });
  if (bundle.request_nonce !== request_nonce)
    throw new CliError("CLI_NONCE", { expected: request_nonce, actual: bundle.request_nonce });
  const isAttested = bundle.state === "attested";
  out.table(
    ["WHAT", "IS"],
    [
      ["state", cell(bundle.state, isAttested ? "good" : "bad")],
      ["assurance", cell(bundle.assurance_mode, bundle.assurance_mode === "hardware" ? "good" : "warning")],
      ["attested at", bundle.timestamp],
      ["signature", cell("verified", "good")],
    ],
  );
  showFailures(out, bundle.failures);
  out.value({ bundle, signature });
  return isAttested ? 0 : 1;
}

export const attestCommand: Command = {
  name: "attest",
  summary: "what this machine can prove about itself",
  help: `secai attest [status]     what the last attestation found
secai attest refresh      attests now; the answer's signature and nonce are checked

Exit status: 0 attested, 1 not. "evaluation" is a machine without a TPM or Secure Boot: it works, and proves nothing. From outside:
secai verify runtime --remote HOST.

  secai attest
  secai attest refresh --json
`,
  flags: [],
  run,
};
