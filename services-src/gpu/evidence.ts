import { MAX_BUNDLE_BYTES, parseBundle } from "@secai/formats/bundle";
import { sha256 } from "@secai/formats/digest";
import { CodedError } from "@secai/formats/errors";
import { printableReason } from "@secai/formats/gpu-probe";
import { type QualifiedSetup, requireQualified } from "@secai/formats/gpu-qualification";
import type { GpuState } from "@secai/formats/gpu-state";
import type { PublicKey } from "@secai/formats/keys";
import { verifyStatementBundle } from "@secai/formats/signature";
import { parseStatement } from "@secai/formats/statement";
import { type Decision, devicesFor } from "./decide.ts";

export type Qualification = Pick<GpuState, "qualified" | "qualified_reason">;

/** A file that may hold a signed statement: nobody has looked at it yet. */
export interface Candidate {
  readonly name: string;
  readonly bytes: Buffer;
}

const unqualified = (reason: string): Qualification => ({ qualified: false, qualified_reason: printableReason(reason) });

/**
 * What a decision may call qualified: only a setup that somebody with a trusted key has run on the same product, with the same driver and
 * the same libraries. Everything else is `false`, with the reason.
 */
export function qualificationOf(
  decision: Decision,
  declared: Uint8Array | undefined,
  candidates: readonly Candidate[],
  keys: readonly PublicKey[],
): Qualification {
  const setup = setupOf(decision, declared);
  if (typeof setup === "string") return unqualified(setup);
  if (keys.length === 0) return unqualified("this image trusts no key for qualifications");
  if (candidates.length === 0) return unqualified("no qualification of this GPU was given to this machine");
  const refusals: string[] = [];
  for (const candidate of candidates) {
    const outcome = judge(candidate, setup, keys);
    if (typeof outcome !== "string") return outcome;
    refusals.push(`${candidate.name}: ${outcome}`);
  }
  return unqualified(refusals[0] ?? "none");
}

/** What a qualification must be of, or why there can be none. */
function setupOf({ backend, devices }: Decision, declared: Uint8Array | undefined): QualifiedSetup | string {
  if (backend === "cpu" || backend === "xpu" || declared === undefined) return "no GPU is used";
  const used = devicesFor(backend, devices);
  const [first] = used;
  if (first === undefined || first.driver === null || first.driver_version === null) return "the GPU's driver is unknown";
  if (used.some(({ vendor, device }) => vendor !== first.vendor || device !== first.device))
    return "GPUs of several kinds are used";
  return {
    ...{ backend, vendor: first.vendor, device: first.device, driver: first.driver, driverVersion: first.driver_version },
    backendsDigest: sha256(declared),
  };
}

function judge({ bytes }: Candidate, setup: QualifiedSetup, keys: readonly PublicKey[]): Qualification | string {
  try {
    if (bytes.length > MAX_BUNDLE_BYTES) return "larger than any bundle";
    const { payload, key } = signedPayload(bytes, keys);
    const { finishedOn } = requireQualified(parseStatement(payload), setup);
    return {
      qualified: {
        statement: sha256(bytes),
        key: key.fingerprint,
        device: `${setup.vendor}:${setup.device}`,
        finished_on: finishedOn,
      },
      qualified_reason: "somebody with a trusted key ran it on the same device, driver and libraries",
    };
  } catch (error) {
    // Whoever put the file there chose its bytes: whatever is wrong with it, it is no evidence.
    return error instanceof CodedError ? error.message : "it cannot be read";
  }
}

function signedPayload(bytes: Buffer, keys: readonly PublicKey[]): { readonly payload: Buffer; readonly key: PublicKey } {
  const bundle = parseBundle(bytes);
  if (bundle.kind !== "statement") throw new TypeError("a signature over a file, without a statement");
  let refusal: unknown;
  for (const key of keys) {
    try {
      return { payload: verifyStatementBundle(bundle, key), key };
    } catch (error) {
      refusal = error;
    }
  }
  throw refusal;
}
