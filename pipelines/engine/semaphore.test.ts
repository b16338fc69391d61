import { expect, test } from "vitest";
import { createSemaphore } from "./semaphore.ts";

test("never more tasks than slots, all in order, also after a failure", async () => {
  const slot = createSemaphore(2);
  const log: number[] = [];
  let active = 0;
  let most = 0;
  const tasks = [0, 1, 2, 3, 4].map((index) =>
    slot(async () => {
      active += 1;
      most = Math.max(most, active);
      log.push(index);
      await new Promise((resolve) => setImmediate(resolve));
      active -= 1;
      if (index === 1) throw new Error("one");
    }),
  );
  const results = await Promise.allSettled(tasks);
  expect(results.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled", "fulfilled", "fulfilled"]);
  expect([most, log]).toEqual([2, [0, 1, 2, 3, 4]]);
});
