import type { FoundDevice } from "@secai/kit/pci-devices";
import type { BaselineContent } from "./baseline.ts";
import { readCounters } from "./counters.ts";
import { readDeviceNodes } from "./device-nodes.ts";
import { readDrivers } from "./drivers.ts";
import { complete } from "./inference.ts";
import {
  type Answered,
  judgeDevices,
  judgeDrift,
  judgeDrivers,
  judgeEcc,
  judgeMemory,
  judgeSentinels,
  judgeTensors,
  judgeThermal,
  withReference,
} from "./judge.ts";
import { sealedRoot } from "./machine.ts";
import { inferencePeer, type Sight } from "./observe.ts";
import { errorOutcome, type Outcome, skip } from "./outcome.ts";
import { type ProbeEntry, type ProbeType, probeTypes } from "./profile-schema.ts";

export const FULL_READ_EVERY = 12;
const THRESHOLD = 0.9;
const ITERATIONS = 3;
const MAX_CORRECTED = 100;
const MAX_CELSIUS = 95;

const WEIGHTS: Readonly<Record<ProbeType, number>> = {
  tensor_hash: 1,
  sentinel_inference: 1,
  reference_drift: 0.8,
  ecc_status: 0.6,
  thermal: 0.4,
  memory_counters: 0.6,
  driver_fingerprint: 1,
  device_allowlist: 0.8,
};

export function weightOf({ type, weight }: ProbeEntry): number {
  return weight ?? (isKnown(type) ? WEIGHTS[type] : 1);
}

const isKnown = (type: string): type is ProbeType => (probeTypes as readonly string[]).includes(type);

export interface ProbeSight extends Sight {
  /** Devices that compute. */
  readonly devices: readonly FoundDevice[];
  /** undefined: none was captured, or it was refused. */
  readonly baseline: BaselineContent | undefined;
  /** The model that the inference runtime says it answers with. */
  sawModel(model: string): void;
}

/** Score of a probe that could not look. */
const UNSEEN = 0.5;

/** Looks and judges. Rejects only when the caller's time is over: whatever else goes wrong is what the probe found. */
export async function runProbe(entry: ProbeEntry, sight: ProbeSight): Promise<Outcome> {
  try {
    return await look(entry, sight);
  } catch (error) {
    sight.signal.throwIfAborted();
    return errorOutcome(UNSEEN, (error as Error).message);
  }
}

async function look(entry: ProbeEntry, sight: ProbeSight): Promise<Outcome> {
  switch (entry.type) {
    case "tensor_hash":
      return lookAtTensors(sight, fullReadEvery(entry));
    case "sentinel_inference": {
      const threshold = setting(entry, "threshold") ?? THRESHOLD;
      return askSentinels(sight, 1, (answers) => judgeSentinels(answers, threshold));
    }
    case "reference_drift":
      return askSentinels(sight, setting(entry, "iterations") ?? ITERATIONS, judgeDrift);
    case "ecc_status":
      return judgeEcc(await counters(sight), setting(entry, "max_corrected") ?? MAX_CORRECTED);
    case "thermal":
      return judgeThermal(await counters(sight), setting(entry, "max_celsius") ?? MAX_CELSIUS);
    case "memory_counters":
      return judgeMemory(await counters(sight));
    case "driver_fingerprint":
      return lookAtDrivers(sight);
    case "device_allowlist":
      return lookAtDevices(sight);
    default:
      return errorOutcome(UNSEEN, `nobody here knows probes of type ${entry.type}`);
  }
}

function setting(entry: ProbeEntry, name: string): number | undefined {
  const settings: Readonly<Record<string, unknown>> = "settings" in entry ? (entry.settings ?? {}) : {};
  const value = settings[name];
  return typeof value === "number" ? value : undefined;
}

export const fullReadEvery = (entry: ProbeEntry): number => setting(entry, "full_read_every") ?? FULL_READ_EVERY;

const counters = ({ machine, devices, signal }: ProbeSight) => readCounters(machine, devices, signal);

async function lookAtTensors({ tensors, profile, baseline, signal }: ProbeSight, every: number): Promise<Outcome> {
  const digests = await tensors.read(profile.model_dir, every, signal);
  if (digests === undefined) return skip(`there is no folder ${profile.model_dir}: no model can be loaded from it`);
  return withReference(baseline, "tensor_hashes", (expected) => judgeTensors(expected, Object.fromEntries(digests)));
}

async function lookAtDrivers({ machine, baseline, signal }: ProbeSight): Promise<Outcome> {
  const drivers = await readDrivers(machine, signal);
  if (drivers.length === 0 && (baseline?.drivers.length ?? 0) === 0) return skip("no GPU driver is loaded");
  const root = await sealedRoot(machine);
  const isOtherRelease = root !== null && typeof baseline?.root_hash === "string" && baseline.root_hash !== root;
  return withReference(baseline, "drivers", (expected) => judgeDrivers(expected, drivers, isOtherRelease));
}

async function lookAtDevices({ machine, baseline }: ProbeSight): Promise<Outcome> {
  const nodes = await readDeviceNodes(machine);
  if (nodes.length === 0 && (baseline?.devices.length ?? 0) === 0) return skip("there are no device nodes of GPUs");
  return withReference(baseline, "devices", (expected) => judgeDevices(expected, nodes));
}

async function askSentinels(
  sight: ProbeSight,
  times: number,
  judge: (answers: readonly Answered[]) => Outcome,
): Promise<Outcome> {
  const { baseline, profile, signal } = sight;
  if (baseline === undefined) return skip("no baseline was captured");
  if (baseline.sentinel_refs === null)
    return skip("the baseline has no answers: the inference runtime was not there to be asked");
  if (baseline.sentinel_refs.length === 0) return skip("the baseline has no questions for the inference runtime");
  const answers: Answered[] = [];
  for (const { name, input, expected } of baseline.sentinel_refs)
    for (let time = 0; time < times; time += 1) {
      const answer = await complete(inferencePeer(profile), input, signal);
      if (answer.is === "absent") return skip("the inference runtime is not there to be asked");
      if (answer.is === "answer" && answer.model !== undefined) sight.sawModel(answer.model);
      answers.push({ name, expected, actual: answer.is === "answer" ? answer.content : undefined });
    }
  return judge(answers);
}
