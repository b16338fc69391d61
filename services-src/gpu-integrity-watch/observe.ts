import type { Peer } from "@secai/kit/client";
import type { BaselineContent } from "./baseline.ts";
import { readDeviceNodes } from "./device-nodes.ts";
import { readDrivers } from "./drivers.ts";
import { GpuWatchError } from "./errors.ts";
import { type Completion, complete } from "./inference.ts";
import { type Machine, sealedRoot } from "./machine.ts";
import type { LoadedProfile } from "./profile.ts";
import type { TensorReader } from "./tensors.ts";

/** Where probes and captures look. */
export interface Sight {
  readonly machine: Machine;
  readonly tensors: TensorReader;
  readonly profile: LoadedProfile;
  readonly signal: AbortSignal;
}

export const inferencePeer = ({ inferenceAddress }: LoadedProfile): Peer => ({ name: "inference", address: inferenceAddress });

/**
 * Everything a baseline holds, looked at now; models whose identity has not changed since this process read them are not read again.
 * @throws GpuWatchError GPU_BASELINE_INCOMPLETE, GPU_MODELS_UNREADABLE
 */
export async function observe({ machine, tensors, profile, signal }: Sight, fullReadEvery: number): Promise<BaselineContent> {
  const digests = await tensors.read(profile.model_dir, fullReadEvery, signal);
  return {
    tensor_hashes: digests === undefined ? null : Object.fromEntries(digests),
    sentinel_refs: await answersToSentinels(profile, signal),
    drivers: [...(await readDrivers(machine, signal))],
    root_hash: await sealedRoot(machine),
    devices: [...(await readDeviceNodes(machine))],
  };
}

async function answersToSentinels(profile: LoadedProfile, signal: AbortSignal): Promise<BaselineContent["sentinel_refs"]> {
  const refs: NonNullable<BaselineContent["sentinel_refs"]> = [];
  for (const { name, input } of profile.sentinels) {
    const answer = await complete(inferencePeer(profile), input, signal);
    if (answer.is === "absent") return null;
    refs.push({ name, input, expected: requireAnswer(name, answer) });
  }
  return refs;
}

function requireAnswer(name: string, answer: Completion): string {
  if (answer.is === "answer") return answer.content;
  throw new GpuWatchError("GPU_BASELINE_INCOMPLETE", {
    expected: `an answer to ${name}`,
    actual: answer.is === "error" ? answer.why : "none",
  });
}
