import { expect, test } from "vitest";
import { createTurns } from "./queue.ts";

const soon = <T>(value: T) => new Promise<T>((resolve) => setImmediate(() => resolve(value)));

test("one at a time, in order, also after one that failed", async () => {
  const turns = createTurns<number>(8);
  const log: string[] = [];
  const work = (index: number) => async () => {
    log.push(`begin ${index}`);
    await soon(index);
    log.push(`end ${index}`);
    if (index === 1) throw new Error("one");
    return index;
  };
  const all = [0, 1, 2].map((index) => turns.take(work(index)));
  expect(await Promise.allSettled(all)).toMatchObject([{ value: 0 }, { status: "rejected" }, { value: 2 }]);
  expect(log).toEqual(["begin 0", "end 0", "begin 1", "end 1", "begin 2", "end 2"]);
});

test("those who ask for the same share it, and too many are turned away", async () => {
  const turns = createTurns<number>(2);
  let runs = 0;
  const work = () => soon(++runs);
  const first = turns.take(work, "shared");
  expect(turns.take(work, "shared")).toBe(first);
  const second = turns.take(work);
  expect(turns.take(work)).toBe(false);
  expect(turns.take(work, "shared")).toBe(first);
  expect(await Promise.all([first, second])).toEqual([1, 2]);
  expect(await turns.take(work, "shared")).toBe(3);
});
