import { type Sha256, sha256 } from "@secai/formats/digest";
import { expect, test } from "vitest";
import type { ExecStep, Plan, StepRecord } from "../step.ts";
import type { Cache } from "./cache.ts";
import { recordedSteps, timedSteps } from "./recorded.ts";

const zero = sha256("");
const step = (id: string, ...needs: string[]): ExecStep => ({
  ...{
    kind: "exec",
    id,
    title: id,
    tools: { kind: "host" },
    network: "none",
    privileges: "none",
    secrets: {},
    env: {},
    run: [id],
  },
  inputs: Object.fromEntries(needs.map((need) => [`/in/${need}`, { kind: "output", step: need, output: "out" }])),
  outputs: { out: { path: "/out/out", type: "file" } },
});
const steps = [step("a"), step("b", "a"), step("c", "b"), step("d", "a")];
const plan: Plan = {
  recipe: { id: "r", version: "1", digest: zero, lockDigest: zero },
  ...{ sourceDateEpoch: 1, sources: {}, programs: {}, steps },
  outputs: { c: { kind: "output", step: "c", output: "out" }, d: { kind: "output", step: "d", output: "out" } },
};

/** Holds what `known` lists, by the order in which it is asked. */
function cacheOf(known: readonly boolean[]): Cache {
  let asked = -1;
  const lookup = async (key: Sha256): Promise<StepRecord | undefined> => {
    asked += 1;
    const times = { startedOn: "2026-01-01T00:00:00.000Z", finishedOn: "2026-01-01T00:00:02.500Z" };
    const outputs = { out: { digest: key, type: "file", size: 1 } } as const;
    const record = {
      id: "another name",
      key,
      step: step("x"),
      inputs: [],
      outputs,
      ...times,
      cached: false,
      engine: "local",
      drift: [],
    };
    return known[asked] === true ? record : undefined;
  };
  return { lookup } as unknown as Cache;
}

test("nothing recorded is STEP_NOT_RECORDED", () =>
  expect(recordedSteps(plan, cacheOf([]))).rejects.toMatchObject({ code: "STEP_NOT_RECORDED" }));

test("a step without record takes those that need it along", async () => {
  const { records, missing } = await recordedSteps(plan, cacheOf([true, false, true]));
  expect({ ids: records.map(({ id }) => id), missing }).toEqual({ ids: ["a", "d"], missing: ["b", "c"] });
  expect(timedSteps(records)).toEqual([
    { id: "a", needs: [], durationMs: 2500, needsWorker: true },
    { id: "d", needs: ["a"], durationMs: 2500, needsWorker: true },
  ]);
});
