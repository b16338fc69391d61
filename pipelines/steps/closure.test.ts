import { expect, test } from "vitest";
import { type NpmLock, npmClosure } from "./closure.ts";

const lock: NpmLock = {
  packages: {
    "services/a": { dependencies: { "@own/kit": "1.0.0", left: "1.0.0" } },
    kit: { dependencies: { shared: "2.0.0" } },
    "node_modules/@own/kit": { link: true, resolved: "kit" },
    "node_modules/left": { dependencies: { shared: "1.0.0" } },
    "node_modules/left/node_modules/shared": {},
    "node_modules/shared": {},
    "node_modules/unrelated": {},
  },
};

test("refuses a workspace that the lockfile does not know", () => {
  expect(() => npmClosure(lock, "services/b")).toThrow(expect.objectContaining({ code: "SOURCE_MISSING" }));
});

test("refuses a dependency that the lockfile does not know", () => {
  const broken: NpmLock = { packages: { a: { dependencies: { gone: "1.0.0" } } } };
  expect(() => npmClosure(broken, "a")).toThrow(expect.objectContaining({ code: "SOURCE_MISSING" }));
});

test("takes the nearest version of a package, as Node does, and nothing unrelated", () => {
  expect(npmClosure(lock, "services/a")).toEqual({
    workspaces: { "@own/kit": "kit" },
    modules: ["node_modules/left", "node_modules/left/node_modules/shared", "node_modules/shared"],
  });
});
