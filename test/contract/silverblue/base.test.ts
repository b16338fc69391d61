import { lstatSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { makeBase, PLATFORM } from "./base.ts";
import { Bench } from "./bench.ts";

let bench: Bench;
let digest: string;
beforeAll(async () => {
  bench = await Bench.open();
  digest = makeBase(bench, "image");
});
afterAll(() => bench.remove());

test("a published image becomes the root that its layers make", () => {
  bench.run("base", { image: "./image", digest, platform: PLATFORM, out: "./root", facts: "./base.json" });
  expect(bench.read("root/etc/changed")).toBe("changed\n");
  expect(() => lstatSync(bench.at("root/etc/obsolete"))).toThrow(/ENOENT/);
  expect(bench.tools("ls root/etc/covered").trim()).toBe("other");
  expect(lstatSync(bench.at("root/usr/bin/git")).ino).toBe(lstatSync(bench.at("root/usr/share/git-again")).ino);
  const capable = lstatSync(bench.at("root/usr/bin/capable"));
  expect(capable.mode & 0o7777).toBe(0o4755);
  expect(capable.mtimeMs / 1000).toBe(1_760_000_000);
  expect(
    bench.tools(
      `python3 -c 'import os; [print(n, os.getxattr("root/usr/bin/capable", n).hex()) for n in sorted(os.listxattr("root/usr/bin/capable"))]'`,
    ),
  ).toBe("security.capability 0100000200200000000000000000000000000000\nuser.note 6b657074\n");
  expect(bench.tools('rpm --root "$PWD/root" --dbpath /usr/share/rpm -qa | sort').trim().split("\n")).toHaveLength(4);
});
