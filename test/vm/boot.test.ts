import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { newestRelease, parseBootArguments } from "./boot.ts";
import { X86_64 } from "./platform.ts";
import { DEFAULT_SHAPE, qemuArguments } from "./qemu.ts";

const scratch = mkdtempSync(join(tmpdir(), "secai-boot-test-"));
afterAll(() => rmSync(scratch, { recursive: true }));

const refused = [
  { name: "an unknown option", argv: ["--forward", "8080"] },
  { name: "an argument", argv: ["debian-13"] },
  { name: "memory that is no number", argv: ["--memory", "2G"] },
  { name: "too little memory", argv: ["--memory", "511"] },
  { name: "no processor", argv: ["--cpus", "0"] },
  { name: "half a processor", argv: ["--cpus", "1.5"] },
  { name: "an accelerator that does not exist", argv: ["--accelerator", "xen"] },
  { name: "an option without its value", argv: ["--release"] },
];
describe("make boot refuses", () => {
  for (const { name, argv } of refused) {
    test(name, () => expect(() => parseBootArguments(argv)).toThrow(expect.objectContaining({ code: "SUITE_USAGE" })));
  }
  test("to boot nothing", () =>
    expect(() => newestRelease(join(scratch, "none"))).toThrow(expect.objectContaining({ code: "CAPABILITY_MISSING" })));
});

test("takes the release that was finished last, and no unfinished one", () => {
  const release = (name: string, finished: number | undefined) => {
    mkdirSync(join(scratch, "out", name), { recursive: true });
    if (finished === undefined) return;
    writeFileSync(join(scratch, "out", name, "SHA256SUMS"), "");
    utimesSync(join(scratch, "out", name, "SHA256SUMS"), finished, finished);
  };
  release("a/1.10.0", 1000);
  release("a/1.9.0", 3000);
  release("b/1.0.0", 2000);
  release("b/2.0.0", undefined);
  expect(newestRelease(join(scratch, "out"))).toBe(join(scratch, "out/a/1.9.0"));
});

test("a machine at a terminal has the shape that tests measure, without agent, log of the console or network", () => {
  const files = { dir: "/m", platform: X86_64 };
  const tested = qemuArguments(DEFAULT_SHAPE, "tcg", { ...files, agentDisk: "/agent.img" });
  const used = qemuArguments(DEFAULT_SHAPE, "tcg", { ...files, terminal: true });
  expect(used.filter((word) => /agent|secai-test|serial\.log|hostfwd/.test(word))).toEqual([]);
  expect(used.filter((word) => !tested.includes(word))).toEqual(["stdio,id=serial,mux=on,signal=off"]);
  expect(used.find((word) => word.startsWith("user,"))).toBe("user,id=net,restrict=on");
});
