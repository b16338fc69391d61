import { strict as assert } from "node:assert";
import type { JsonValue } from "@secai/kit/digest";
import { test } from "vitest";
import { createRefusals } from "./refusals.ts";

interface Entry {
  readonly type: string;
  readonly data: { readonly [key: string]: JsonValue };
}

function example() {
  const entries: Entry[] = [];
  const time = { ms: 0, broken: false };
  const refusals = createRefusals({
    audit: {
      async append(type, data) {
        if (time.broken) throw new Error("no space");
        entries.push({ type, data });
        return { seq: entries.length, mac: "" };
      },
    },
    clock: { nowMs: () => 0, monotonicMs: () => time.ms },
    log: () => {},
  });
  return { entries, time, refusals };
}

test("the first refusals of a caller have a record each, the others are counted, and nobody else's are", async () => {
  const { entries, time, refusals } = example();
  for (let index = 0; index < 1000; index += 1) await refusals.record("refused", "a", { index });
  await refusals.record("refused", "b", {});
  assert.equal(entries.length, 21);
  assert.deepEqual(entries.at(-1), { type: "refused", data: { caller: "b" } });
  await refusals.summarise();
  assert.deepEqual(entries.at(-1), { type: "refusals_unrecorded", data: { caller: "a", count: 980 } });
  await refusals.summarise();
  assert.equal(entries.length, 22);
  time.ms += 60_000;
  for (let index = 0; index < 5; index += 1) await refusals.record("refused", "a", { index });
  assert.equal(entries.length, 24);
  refusals.close();
});

test("a count that could not be recorded is kept", async () => {
  const { entries, time, refusals } = example();
  for (let index = 0; index < 30; index += 1) await refusals.record("refused", "a", {});
  time.broken = true;
  await assert.rejects(refusals.summarise(), /no space/);
  time.broken = false;
  await refusals.summarise();
  assert.deepEqual(entries.at(-1)?.data, { caller: "a", count: 10 });
  refusals.close();
});
