import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import {
  entriesOf,
  largestFolders,
  requireBelowUsr,
  requireLinksLead,
  requireOnlyAdds,
  requirePermitted,
  resolveIn,
} from "./tree.ts";

let work = "";
const extension = () => join(work, "extension");
const root = () => join(work, "root");
const overlay = () => join(work, "overlay");

beforeEach(() => {
  work = mkdtempSync(join(tmpdir(), "secai-extension-"));
  for (const tree of [extension(), root(), overlay()]) put(tree, "usr/lib/os-release", "ID=x\n");
  rmSync(join(extension(), "usr/lib/os-release"));
  rmSync(join(overlay(), "usr/lib/os-release"));
});
afterEach(() => rmSync(work, { recursive: true, force: true }));

function put(tree: string, path: string, content: string, mode = 0o644): void {
  mkdirSync(dirname(join(tree, path)), { recursive: true });
  writeFileSync(join(tree, path), content);
  chmodSync(join(tree, path), mode);
}
function link(tree: string, path: string, target: string): void {
  mkdirSync(dirname(join(tree, path)), { recursive: true });
  symlinkSync(target, join(tree, path));
}
const entries = () => entriesOf(extension());
const adds = () => requireOnlyAdds(entries(), { extension: extension(), root: root(), overlays: [overlay()] });
const refusal = (code: string, name: string) => expect.objectContaining({ code, actual: expect.stringContaining(name) });

test("files outside /usr are refused by name; empty folders there are none", () => {
  mkdirSync(join(extension(), "var/lib"), { recursive: true });
  requireBelowUsr(entries());
  put(extension(), "etc/x.conf", "");
  expect(() => requireBelowUsr(entries())).toThrow(refusal("EXTENSION_OUTSIDE_USR", "/etc/x.conf"));
});

const forbidden = [
  "usr/lib/systemd/system/x.service",
  "usr/lib/udev/rules.d/1.rules",
  "usr/lib/modprobe.d/x.conf",
  "usr/lib/modules/6.12/x.ko",
  "usr/lib/secure-ai/services.json",
  "usr/lib/secure-ai/backends/cuda/libggml-cuda.so",
  "usr/lib/secure-ai/backends/vulkan/deep/x.so",
  "usr/libexec/secure-ai/secai-run.mjs",
];
for (const path of forbidden) {
  test(`${path} has no place in an extension`, () => {
    put(extension(), path, "x");
    expect(() => requirePermitted(entries(), new Set(["vulkan"]))).toThrow(refusal("EXTENSION_FORBIDDEN", `/${path}`));
  });
}

test("a program that changes who it runs as is refused", () => {
  put(extension(), "usr/bin/su", "x", 0o4755);
  expect(() => requirePermitted(entries(), new Set())).toThrow(refusal("EXTENSION_FORBIDDEN", "/usr/bin/su"));
});

test("libraries, data and the backend that was asked for are permitted", () => {
  for (const path of ["usr/lib/x.so", "usr/share/x.json", "usr/lib/secure-ai/backends/vulkan/libggml-vulkan.so"])
    put(extension(), path, "x");
  requirePermitted(entries(), new Set(["vulkan"]));
});

test("what the image has otherwise is refused by name: content, mode, kind, target", () => {
  put(root(), "usr/lib/a.so", "1");
  put(extension(), "usr/lib/a.so", "2");
  put(root(), "usr/lib/b.so", "1");
  put(extension(), "usr/lib/b.so", "1", 0o755);
  put(root(), "usr/lib/c", "1");
  put(extension(), "usr/lib/c/file", "1");
  link(root(), "usr/lib/d", "a.so");
  link(extension(), "usr/lib/d", "b.so");
  for (const path of ["a.so", "b.so", "c", "d"]) expect(adds).toThrow(refusal("EXTENSION_OVERLAPS", `/usr/lib/${path}`));
});

test("what an overlay has is refused even when it is the same", () => {
  put(overlay(), "usr/share/x", "1");
  put(extension(), "usr/share/x", "1");
  expect(adds).toThrow(refusal("EXTENSION_OVERLAPS", "/usr/share/x"));
});

test("new files and equal ones are fine", () => {
  put(root(), "usr/lib/a.so", "1");
  put(extension(), "usr/lib/a.so", "1");
  put(extension(), "usr/lib/new.so", "1");
  adds();
});

test("links must lead somewhere, through the extension and the image alike", () => {
  put(root(), "usr/lib/real.so.1", "1");
  link(extension(), "usr/lib/x.so", "real.so.1");
  link(extension(), "usr/lib/absolute", "/usr/lib/x.so");
  requireLinksLead(entries(), extension(), root());
  link(extension(), "usr/lib/loop", "loop");
  expect(() => requireLinksLead(entries(), extension(), root())).toThrow(refusal("EXTENSION_LINK_DANGLING", "/usr/lib/loop"));
  rmSync(join(extension(), "usr/lib/loop"));
  link(extension(), "usr/lib/y.so", "../../etc/alternatives/y");
  expect(() => requireLinksLead(entries(), extension(), root())).toThrow(refusal("EXTENSION_LINK_DANGLING", "/usr/lib/y.so"));
});

test("a path through linked folders is found", () => {
  put(root(), "usr/lib/real/x", "1");
  link(root(), "lib", "usr/lib");
  link(extension(), "usr/lib/alias", "/lib/real");
  expect(resolveIn([extension(), root()], "usr/lib/alias/x")).toBe("usr/lib/real/x");
});

test("the largest folders come first", () => {
  put(extension(), "usr/lib/big", "x".repeat(3 << 20));
  put(extension(), "usr/share/small", "x".repeat(1 << 20));
  expect(largestFolders(entries(), 2)).toEqual(["/usr/lib 3.0 MiB", "/usr/share 1.0 MiB"]);
});
