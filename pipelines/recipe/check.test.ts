import { readFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, expect, test } from "vitest";
import { checkRecipe } from "./check.ts";
import { formatMistakes, type Mistake } from "./mistake.ts";
import { loadRecipe, loadRecipeSource, requireDebian } from "./recipe.ts";
import { RecipeFolder, SMALL } from "./recipe-folder.test-data.ts";

const repository = join(import.meta.dirname, "../..");
let folder: RecipeFolder;
beforeEach(() => {
  folder = new RecipeFolder();
});
afterEach(() => folder.remove());

const whole = `schema: 1
id: small
title: A small one
version: 1.2.3
base:
  kind: debian
  release: trixie
  architecture: amd64
  archives:
    - name: debian
      suites: [trixie]
      components: [main]
packages:
  - systemd
  - name: nodejs
    reason: Runs services.
toolRoots:
  build: [erofs-utils]
  machine: [ovmf]
kernelArguments: [quiet, panic=10]
services: [policy-engine]
overlays: [image/common]
initrd:
  overlay: image/initrd
  modules: [erofs]
remove:
  packages: []
  paths: [/boot/*]
disk:
  espMiB: 288
  rootMiB: 352
  verityMiB: 16
  imageGiB: 8
gpuBackends: [cpu]
outputs: [qcow2]
sizeBudgetMiB: 200
`;

const extension = (name: string, sizeMiB: number) =>
  `{ name: ${name}, title: X, packages: [libvulkan1], hardware: { pciClasses: ["03"], pciVendors: [] }, sizeMiB: ${sizeMiB}, sizeBudgetMiB: 1 }`;

/** Mistakes of recipes/small.yaml with this text, as "code path line:column". */
async function mistakesOf(text: string): Promise<{ readonly short: string[]; readonly mistakes: readonly Mistake[] }> {
  const { source, mistakes } = await folder.check(text);
  expect(source === undefined).toBe(mistakes.length > 0);
  return { short: mistakes.map(({ code, path, line, column }) => `${code} ${path} ${line}:${column}`), mistakes };
}

test("the small recipe has no mistakes", async () => {
  expect((await mistakesOf(whole)).short).toEqual([]);
});

const rejected: readonly { readonly name: string; readonly change: readonly [string, string]; readonly short: string }[] = [
  { name: "an unknown key", change: ["sizeBudgetMiB: 200", "sizeBudgetMiB: 200\ncolour: red"], short: "KEY_UNKNOWN colour 37:1" },
  {
    name: "an unknown inner key",
    change: ["  imageGiB: 8", "  imageGiB: 8\n  swapGiB: 1"],
    short: "KEY_UNKNOWN disk.swapGiB 34:3",
  },
  { name: "a misspelt key, once", change: ["title:", "titel:"], short: "KEY_UNKNOWN titel 3:1" },
  { name: "an unknown value", change: ["[qcow2]", "[qcow3]"], short: "VALUE_UNKNOWN outputs[0] 35:11" },
  { name: "a number for a name", change: ["- systemd", "- 17"], short: "VALUE_INVALID packages[0] 14:5" },
  { name: "text for a number", change: ["espMiB: 288", "espMiB: '288'"], short: "VALUE_INVALID disk.espMiB 30:11" },
  {
    name: "a boot partition that firmware refuses",
    change: ["espMiB: 288", "espMiB: 192"],
    short: "VALUE_INVALID disk.espMiB 30:11",
  },
  { name: "another schema", change: ["schema: 1", "schema: 2"], short: "VALUE_INVALID schema 1:9" },
  { name: "a version without a patch level", change: ["1.2.3", "'1.2'"], short: "VALUE_INVALID version 4:10" },
  {
    name: "a kernel argument with a quote",
    change: ["panic=10", "'panic=\"10'"],
    short: "VALUE_INVALID kernelArguments[1] 20:26",
  },
  { name: "an overlay outside", change: ["[image/common]", "[../secrets]"], short: "VALUE_INVALID overlays[0] 22:12" },
  { name: "an absolute overlay", change: ["[image/common]", "[/etc]"], short: "VALUE_INVALID overlays[0] 22:12" },
  { name: "a removal that climbs", change: ["/boot/*", "/boot/../etc"], short: "VALUE_INVALID remove.paths[0] 28:11" },
  { name: "the removal of everything", change: ["/boot/*", "/*"], short: "VALUE_INVALID remove.paths[0] 28:11" },
  { name: "a package twice", change: ["- systemd", "- systemd\n  - systemd"], short: "DUPLICATE packages[1] 15:5" },
  { name: "a key twice", change: ["title:", "id: small\ntitle:"], short: "DUPLICATE $ 3:1" },
  { name: "an alias", change: ["[quiet, panic=10]", "&a [quiet, panic=10]"], short: "YAML_ALIAS $ 20:21" },
  { name: "a tag", change: ["A small one", "!secret A"], short: "YAML_ALIAS $ 3:16" },
  { name: "broken YAML", change: ["[quiet, panic=10]", "[quiet, panic=10"], short: "YAML_SYNTAX $ 21:1" },
  { name: "a missing key", change: ["sizeBudgetMiB: 200\n", ""], short: "KEY_MISSING sizeBudgetMiB 1:1" },
  { name: "a missing inner key", change: ["  verityMiB: 16\n", ""], short: "KEY_MISSING disk.verityMiB 1:1" },
  { name: "a missing required inner key", change: ["  kind: debian\n", ""], short: "KEY_MISSING base 6:3" },
  {
    name: "an asked for package that is removed",
    change: ["  packages: []", "  packages: [nodejs]"],
    short: "CONTRADICTION packages 15:5",
  },
  { name: "slots that do not fit", change: ["imageGiB: 8", "imageGiB: 1"], short: "CONTRADICTION disk.imageGiB 33:3" },
  {
    name: "slots that do not fit because of an extension",
    change: ["gpuBackends: [cpu]", `extensions: [${extension("vulkan", 4096)}]\ngpuBackends: [cpu]`],
    short: "CONTRADICTION disk.imageGiB 33:3",
  },
  {
    name: "two extensions of one name",
    change: ["gpuBackends: [cpu]", `extensions: [${extension("vulkan", 64)}, ${extension("vulkan", 32)}]\ngpuBackends: [cpu]`],
    short: "DUPLICATE extensions[1] 34:147",
  },
  {
    name: "an extension whose partition could not be named",
    change: ["version: 1.2.3", `version: 1.2.3-release.candidate.1.0\nextensions: [${extension("vulkan", 64)}]`],
    short: "CONTRADICTION extensions 5:14",
  },
  { name: "a release without a suite", change: ["suites: [trixie]", "suites: [sid]"], short: "CONTRADICTION base.archives 5:1" },
  { name: "an id that is not the file's name", change: ["id: small", "id: large"], short: "CONTRADICTION id 2:1" },
  {
    name: "a fragment that is not there",
    change: ["schema: 1", "extends: [fragments/x.yaml]\nschema: 1"],
    short: "FILE_MISSING $ 1:1",
  },
  {
    name: "itself as a fragment",
    change: ["schema: 1", "extends: [small.yaml]\nschema: 1"],
    short: "EXTENDS_CYCLE extends[0] 1:11",
  },
];

for (const { name, change, short } of rejected) {
  test(`a recipe with ${name} is refused there`, async () => {
    const text = whole.replace(...change);
    expect(text).not.toBe(whole);
    expect((await mistakesOf(text)).short).toEqual([short]);
  });
}

test("an empty file and a scalar are refused", async () => {
  for (const text of ["", "just text\n", "- a\n- b\n"]) expect((await mistakesOf(text)).short[0]).toMatch(/^VALUE_INVALID \$ /);
});

test("all mistakes are told, by line, each with what was meant", async () => {
  const text = whole
    .replace("title:", "titel:")
    .replace("[qcow2]", "[qcow]")
    .replace("imageGiB", "imageGB")
    .replace("amd64", "amd46");
  const { mistakes } = await mistakesOf(text);
  expect(mistakes.map(({ line, suggestion }) => [line, suggestion])).toEqual([
    [3, "title"],
    [8, "amd64"],
    [33, "imageGiB"],
    [35, "qcow2"],
  ]);
  expect(formatMistakes(mistakes).split("\n")[0]).toBe(
    'recipes/small.yaml:3:1: titel: unknown key; did you mean "title"? [KEY_UNKNOWN]',
  );
});

test("a word that is near nothing gets no suggestion", async () => {
  const { mistakes } = await mistakesOf(whole.replace("[qcow2]", "[floppy]"));
  expect(mistakes[0]?.suggestion).toBeUndefined();
});

test("fragments: lists are joined in order, the recipe overrides, origins name the line", async () => {
  folder.write("recipes/fragments/a.yaml", "kernelArguments: [first]\ndisk:\n  imageGiB: 16\n");
  folder.write(SMALL, `extends: [fragments/a.yaml]\n${whole}`);
  const { recipe, origins, files } = await loadRecipeSource(folder.top, SMALL);
  expect(recipe.kernelArguments).toEqual(["first", "quiet", "panic=10"]);
  expect(requireDebian(recipe).disk.imageGiB).toBe(8);
  expect(origins.get("kernelArguments/first")).toEqual({ file: "recipes/fragments/a.yaml", line: 1, column: 19 });
  expect(origins.get("packages/nodejs")).toEqual({ file: "recipes/small.yaml", line: 16, column: 5 });
  expect(files.map(({ file }) => file)).toEqual(["recipes/fragments/a.yaml", "recipes/small.yaml"]);
});

test("fragments that do not extend each other may not disagree, nor repeat each other", async () => {
  folder.write("recipes/fragments/a.yaml", "disk:\n  imageGiB: 16\npackages: [bash]\n");
  folder.write("recipes/fragments/b.yaml", "disk:\n  imageGiB: 32\npackages: [bash]\n");
  const { mistakes } = await mistakesOf(`extends: [fragments/a.yaml, fragments/b.yaml]\n${whole.replace("  imageGiB: 8\n", "")}`);
  expect(mistakes.map(({ file, code, line }) => [file, code, line])).toEqual([
    ["recipes/fragments/b.yaml", "CONFLICT", 2],
    ["recipes/fragments/b.yaml", "DUPLICATE", 3],
  ]);
});

test("a circle of fragments is told where it closes", async () => {
  folder.write("recipes/fragments/a.yaml", "extends: [fragments/b.yaml]\n");
  folder.write("recipes/fragments/b.yaml", "extends: [fragments/a.yaml]\n");
  const { mistakes } = await mistakesOf(`extends: [fragments/a.yaml]\n${whole}`);
  expect(mistakes.map(({ file, code }) => [file, code])).toEqual([["recipes/fragments/b.yaml", "EXTENDS_CYCLE"]]);
});

test("a fragment that two others extend counts once", async () => {
  folder.write("recipes/fragments/base.yaml", "packages: [bash]\n");
  folder.write("recipes/fragments/a.yaml", "extends: [fragments/base.yaml]\n");
  folder.write("recipes/fragments/b.yaml", "extends: [fragments/base.yaml]\n");
  expect((await mistakesOf(`extends: [fragments/a.yaml, fragments/b.yaml]\n${whole}`)).short).toEqual([]);
});

test("loadRecipe throws RECIPE_INVALID with the mistakes", async () => {
  folder.write(SMALL, whole.replace("title:", "titel:"));
  await expect(loadRecipe(folder.top, SMALL)).rejects.toMatchObject({ code: "RECIPE_INVALID", exit: 2 });
});

test("any text gives a recipe or mistakes, never an exception", async () => {
  const lines = whole.split("\n");
  const edited = fc
    .tuple(
      fc.nat(lines.length - 1),
      fc.oneof(fc.string(), fc.constantFrom("  x", "- [", "? a", "base: {}", "disk: 7", "packages: [{}]")),
    )
    .map(([at, line]) => lines.with(at, line).join("\n"));
  await fc.assert(
    fc.asyncProperty(fc.oneof(edited, fc.string()), async (text) => void (await mistakesOf(text))),
    { numRuns: 150 },
  );
});

test("the committed recipes have no mistakes", async () => {
  expect(formatMistakes((await checkRecipe(repository, "recipes/debian-13.yaml")).mistakes)).toBe("");
});

test("another architecture is a fragment and a line", async () => {
  const arm64 = `extends: [fragments/hardening.yaml, fragments/appliance.yaml, fragments/debian.yaml, fragments/debian-arm64.yaml, fragments/debian-tools.yaml]
schema: 1
id: debian-13-arm64
title: SecAI OS on Debian 13, arm64
version: 0.1.0
base:
  kind: debian
  release: trixie
  architecture: arm64
  archives:
    - { name: debian, suites: [trixie, trixie-updates], components: [main] }
    - { name: debian-security, suites: [trixie-security], components: [main] }
`;
  folder.write("recipes/debian-13-arm64.yaml", arm64);
  folder.write(
    "recipes/fragments/debian-arm64.yaml",
    "kernelArguments: [console=ttyAMA0]\npackages: [linux-image-cloud-arm64]\ntoolRoots: { machine: [qemu-system-arm, qemu-efi-aarch64] }\n",
  );
  for (const name of ["hardening", "hardening-common", "appliance", "debian", "debian-tools"]) {
    folder.write(`recipes/fragments/${name}.yaml`, await readFile(join(repository, `recipes/fragments/${name}.yaml`), "utf8"));
  }
  const recipe = await loadRecipe(folder.top, "recipes/debian-13-arm64.yaml");
  expect(recipe.base.architecture).toBe("arm64");
  expect(recipe.kernelArguments.at(-1)).toBe("console=ttyAMA0");
});
