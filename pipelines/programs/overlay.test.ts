import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { installServices } from "./installed.ts";
import { overlay } from "./overlay.ts";
import { removePaths } from "./remove-paths.ts";

let top: string;
beforeEach(() => {
  top = mkdtempSync(join(tmpdir(), "secai-overlay-"));
  for (const folder of ["root/usr/bin", "root/etc", "overlay", "outside"]) mkdirSync(join(top, folder), { recursive: true });
});
afterEach(() => rmSync(top, { recursive: true, force: true }));

const at = (path: string) => join(top, path);
const modeOf = (path: string) => lstatSync(at(path)).mode & 0o7777;
function write(path: string, text: string, mode = 0o644): void {
  mkdirSync(dirname(at(path)), { recursive: true });
  writeFileSync(at(path), text);
  chmodSync(at(path), mode);
}
const lay = () => overlay(at("overlay"), at("root"));

const places = ["bin/x", "lib/modules/x", "usr/etc/x", "var/lib/x", "run/x", "boot/x", "opt/x", "home/x", "sysroot/x"];
for (const place of places)
  test(`an overlay may not bring /${place}`, () => {
    write(`overlay/${place}`, "x");
    expect(lay).toThrow(expect.objectContaining({ code: "LAYER_UNSAFE" }));
  });

test("nothing is written through a link that the root has in the place of a folder", () => {
  symlinkSync(at("outside"), at("root/etc/systemd"));
  write("overlay/etc/systemd/x.conf", "x");
  expect(lay).toThrow(expect.objectContaining({ code: "LAYER_UNSAFE" }));
  expect(lstatSync(at("outside/x.conf"), { throwIfNoEntry: false })).toBeUndefined();
});

test("a folder does not take the place of a file", () => {
  write("root/etc/x", "a file");
  write("overlay/etc/x/y", "y");
  expect(lay).toThrow(expect.objectContaining({ code: "LAYER_UNSAFE" }));
});

test("a file takes the place of a link, not of what the link leads to", () => {
  write("outside/x", "theirs");
  symlinkSync(at("outside/x"), at("root/etc/x"));
  write("overlay/etc/x", "ours");
  lay();
  expect(readFileSync(at("outside/x"), "utf8")).toBe("theirs");
  expect(readFileSync(at("root/etc/x"), "utf8")).toBe("ours");
  expect(lstatSync(at("root/etc/x")).isSymbolicLink()).toBe(false);
});

test("modes are those of the image, whatever the checkout's are; names that only begin like another folder are free", () => {
  write("overlay/usr/bin/x", "#!", 0o700);
  write("overlay/usr/share/library/x", "x", 0o666);
  write("overlay/usr/etcetera/x", "x", 0o600);
  symlinkSync("../share/library/x", at("overlay/usr/bin/link"));
  lay();
  expect(modeOf("root/usr/bin/x")).toBe(0o755);
  expect(modeOf("root/usr/share/library/x")).toBe(0o644);
  expect(modeOf("root/usr/share/library")).toBe(0o755);
  expect(modeOf("root/usr/etcetera/x")).toBe(0o644);
  expect(readlinkSync(at("root/usr/bin/link"))).toBe("../share/library/x");
});

test("services are listed by the digest of their bundle", () => {
  write("services/a.mjs", "a", 0o600);
  installServices(at("services"), at("root"));
  expect(modeOf("root/usr/lib/secure-ai/services/a.mjs")).toBe(0o644);
  expect(JSON.parse(readFileSync(at("root/usr/lib/secure-ai/services.json"), "utf8"))).toEqual({
    schema: 1,
    services: {
      a: {
        path: "/usr/lib/secure-ai/services/a.mjs",
        sha256: "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb",
      },
    },
  });
});

for (const pattern of ["etc/x", "/etc/../../outside/x", "/.."])
  test(`refuses to remove ${pattern}`, () => expect(() => removePaths(at("root"), [pattern])).toThrow("leaves the tree"));

test("removes what globs match, and nothing else", () => {
  for (const path of ["root/usr/share/doc/a/x", "root/usr/share/doc/b/x", "root/usr/share/man/x"]) write(path, "x");
  removePaths(at("root"), ["/usr/share/doc/*", "/absent/*"]);
  expect(lstatSync(at("root/usr/share/doc/a"), { throwIfNoEntry: false })).toBeUndefined();
  expect(readFileSync(at("root/usr/share/man/x"), "utf8")).toBe("x");
});
