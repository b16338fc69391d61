import { describe, expect, test } from "vitest";
import { corpusOf } from "./corpus.ts";
import { fuzz } from "./fuzz.ts";
import { mutate } from "./mutate.ts";
import { createRandom } from "./random.ts";
import { runTarget } from "./run.ts";
import { type Target, tryInput } from "./target.ts";
import { targets } from "./targets.ts";

const all = await targets();
const few = { seed: 1, executions: 400, milliseconds: 60_000 };
const answers = (target: Target, inputs: readonly Uint8Array[]) =>
  Promise.all(inputs.map((bytes) => tryInput(target, Buffer.from(bytes))));

describe.each(all.map((target) => [target.name, target] as const))("%s", (name, target) => {
  test("reads at least one of its genuine inputs", async () => {
    expect((await answers(target, target.seeds)).map(({ kind }) => kind)).toContain("accepted");
  });

  test("gives no finding for what was found once", async () => {
    expect((await answers(target, corpusOf(name))).filter(({ ok }) => !ok)).toEqual([]);
  });

  test(`gives no finding in ${few.executions} inputs`, async () => {
    expect((await fuzz(target, [], few, () => {})).finding).toBeUndefined();
  });
});

test("the same seed makes the same inputs", () => {
  const inputs = (seed: number) => {
    const random = createRandom(seed);
    return Array.from({ length: 50 }, () => mutate(Buffer.from('{"a":[1,"b"]}\n'), Buffer.from("other"), random).toString("hex"));
  };
  expect(inputs(7)).toEqual(inputs(7));
  expect(inputs(7)).not.toEqual(inputs(8));
});

const made = (parse: Target["parse"], print?: Target["print"]): Target => ({
  name: "made",
  seeds: [Buffer.from("genuine")],
  parse,
  ...(print !== undefined && { print }),
});

test("a crash, a value that prints otherwise and a slow answer are findings", async () => {
  const throwing = made(() => {
    throw new TypeError("oops");
  });
  expect((await fuzz(throwing, [], few, () => {})).finding?.problem).toMatch(/oops/);
  const other = made(
    (bytes) => bytes.toString(),
    () => Buffer.from("other"),
  );
  expect((await fuzz(other, [], few, () => {})).finding?.problem).toMatch(/printed as other bytes/);
  const slow = made(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1100));
  expect((await fuzz(slow, [], few, () => {})).finding?.problem).toMatch(/^took 1\d\d\d ms$/);
});

test("a target runs in a thread of its own", async () => {
  const result = await runTarget("checksums", { seed: 1, executions: 50, milliseconds: 10_000 });
  expect(result).toMatchObject({ executions: 50, finding: undefined });
});
