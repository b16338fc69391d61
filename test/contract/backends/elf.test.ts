import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { parseElf } from "@secai/pipelines/backends/elf";
import { toolCommand } from "@secai/pipelines/engine/sandbox";
import { expect, test } from "vitest";

const FOLDER = "/usr/lib/x86_64-linux-gnu";

/** The tool root for kernel modules, which the contract ring is given; it has binutils. */
function toolRoot(): string {
  const root = process.env.SECAI_MODULES_ROOT;
  if (root === undefined || root === "") throw new Error("SECAI_MODULES_ROOT names no tool root: run `npm run test:contract`");
  return root;
}

/** What GNU readelf prints of libraries of the tool root, by file name. */
function readelf(root: string, flags: readonly string[], names: readonly string[]): ReadonlyMap<string, string> {
  const argv = ["readelf", "--wide", ...flags, ...names.map((name) => join(FOLDER, name))];
  const [command = "", ...args] = toolCommand({ root, argv, binds: [], env: {}, network: "none" });
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: "utf8", maxBuffer: 1 << 28 });
  if (status !== 0) throw new Error(`readelf: ${stderr}`);
  const parts = stdout.split(/^File: (.*)$/m).slice(1);
  return new Map(
    parts.flatMap((part, index) => (index % 2 === 0 ? [[part.slice(FOLDER.length + 1), parts[index + 1] ?? ""] as const] : [])),
  );
}

const matches = (text: string, pattern: RegExp): string[] => [...text.matchAll(pattern)].map(([, value]) => value ?? "");

/** Names of dynamic symbols without their versions; `UND` where the library has to find them elsewhere. */
function dynamicSymbols(text: string): { defined: Set<string>; undefined: Set<string> } {
  const found = { defined: new Set<string>(), undefined: new Set<string>() };
  const line = /^ +[1-9]\d*: [0-9a-f]+ +\S+ \S+ +(\S+) +\S+ +(\S+) ?(\S*)/gm;
  for (const [, binding, section, name = ""] of text.matchAll(line)) {
    const plain = name.replace(/@.*$/, "");
    if (section !== "UND") found.defined.add(plain);
    else if (binding !== "WEAK") found.undefined.add(plain);
  }
  return found;
}

test("our reader and readelf see the same in the libraries of a Debian root", { timeout: 120_000 }, () => {
  const root = realpathSync(toolRoot());
  const entries = readdirSync(join(root, FOLDER), { withFileTypes: true });
  const names = entries.filter((entry) => entry.isFile() && /\.so\.[\d.]+$/.test(entry.name)).map(({ name }) => name);
  const chosen = names.sort().slice(0, 120);
  expect(chosen.length).toBeGreaterThan(50);
  const [dynamic, symbols] = [readelf(root, ["--dynamic"], chosen), readelf(root, ["--dyn-syms"], chosen)];
  for (const name of chosen) {
    const elf = parseElf(readFileSync(join(root, FOLDER, name)));
    const text = dynamic.get(name) ?? "";
    expect(elf.needed, name).toEqual(matches(text, /\(NEEDED\).*\[(.*)\]$/gm));
    expect([elf.soname], name).toEqual([matches(text, /\(SONAME\).*\[(.*)\]$/gm)[0]]);
    expect(elf.runpath, name).toEqual(matches(text, /\((?:RUNPATH|RPATH)\).*\[(.*)\]$/gm).flatMap((list) => list.split(":")));
    const expected = dynamicSymbols(symbols.get(name) ?? "");
    expect([...elf.undefined].sort(), name).toEqual([...expected.undefined].sort());
    expect([...elf.defined].sort(), name).toEqual([...expected.defined].sort());
  }
});
