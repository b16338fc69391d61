import type { Test } from "./suite.ts";
import type { World } from "./world.ts";

/** Work that several scenarios look at from different sides: done once in a run, by the first that asks. */
export function oncePerRun<T>(work: (test: Test) => Promise<T>): (test: Test) => Promise<T> {
  const done = new WeakMap<World, Promise<T>>();
  return (test) => {
    const known = done.get(test.world) ?? work(test);
    done.set(test.world, known);
    return known;
  };
}
