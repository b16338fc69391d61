import { describe, expect, test } from "vitest";
import { isMachineRoot } from "./user-namespace.ts";

describe("isMachineRoot", () => {
  const others = [
    { name: "one user mapped to 0", map: "         0       1000          1\n" },
    { name: "a user and subordinate ids", map: "         0       1000          1\n         1     100000      65536\n" },
    { name: "a shifted range", map: "         0     100000 4294967295\n" },
    { name: "nothing", map: "" },
  ];
  for (const { name, map } of others) test(`not with ${name}`, () => expect(isMachineRoot(map)).toBe(false));
  test("the machine's own ids (needs uid 0)", () => expect(isMachineRoot("         0          0 4294967295\n")).toBe(true));
});
