import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { checkRecipe } from "./check.ts";
import { formatMistakes } from "./mistake.ts";
import { byKind, isBootc, loadRecipe, loadRecipeSource, requireDebian } from "./recipe.ts";
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
  kind: bootc
  architecture: amd64
  repository: registry.example/owner/base
  tag: "{release}"
  signer:
    kind: cosign-key
    key: keys/base.pub
    identity: Somebody
  database: /usr/share/rpm
  repositories:
    - name: fedora
      # Where it is mirrored is not the recipe's business.
      keys: ["/etc/pki/rpm-gpg/key-{release}"]
release: "42"
toolBase:
  kind: debian
  release: trixie
  architecture: amd64
  archives:
    - name: debian
      suites: [trixie]
      components: [main]
packages: [nodejs, NetworkManager_x]
toolRoots:
  build: [rpm]
kernelArguments: [quiet]
services: [policy-engine]
overlays: [image/common]
remove:
  packages: [firefox]
  commands: [git]
modules:
  - name: gpu
    reason: A test.
    repository: registry.example/owner/modules
    tag: main-{release}
    signer: { kind: cosign-key, key: keys/base.pub, identity: Somebody }
    packages: [rpms/kmods/kmod-gpu-*.rpm]
    certificate: /etc/pki/akmods.der
units:
  enabled: [nftables.service]
  disabled: [sshd.service]
repository: registry.example/us/image
imageBuilder:
  repository: registry.example/owner/builder
  digest: sha256:${"1".repeat(64)}
  signer: { kind: unsigned upstream, reason: They do not sign. }
  rootFileSystem: btrfs
gpuBackends: [cpu]
outputs: [oci, qcow2]
sizeBudgetMiB: 4096
`;

/** Mistakes of recipes/small.yaml with this text, as "code path line". */
async function mistakesOf(text: string): Promise<string[]> {
  return (await folder.check(text)).mistakes.map(({ code, path, line }) => `${code} ${path} ${line}`);
}

test("the small recipe has no mistakes", async () => expect(await mistakesOf(whole)).toEqual([]));

const rejected: readonly {
  readonly name: string;
  readonly change: readonly [string, string];
  readonly mistakes: readonly string[];
}[] = [
  { name: "a base by a moving tag", change: ['tag: "{release}"', "tag: latest"], mistakes: ["UNPINNED base.tag 9"] },
  { name: "a base without tag", change: ['  tag: "{release}"\n', ""], mistakes: ["UNPINNED base 5"] },
  {
    name: "a base with a tag and a digest",
    change: ["  signer:\n    kind", `  digest: sha256:${"a".repeat(64)}\n  signer:\n    kind`],
    mistakes: ["CONTRADICTION base.digest 10"],
  },
  {
    name: "a base without signer",
    change: ["  signer:\n    kind: cosign-key\n    key: keys/base.pub\n    identity: Somebody\n", ""],
    mistakes: ["KEY_MISSING base 6"],
  },
  {
    name: "a base that nobody signed",
    change: [
      "    kind: cosign-key\n    key: keys/base.pub\n    identity: Somebody",
      "    kind: unsigned upstream\n    reason: None.",
    ],
    mistakes: ["UNPINNED base.signer 10"],
  },
  {
    name: "a signer without key",
    change: ["    key: keys/base.pub\n", ""],
    mistakes: ["KEY_MISSING base.signer 11"],
  },
  {
    name: "an unknown kind of signer",
    change: ["kind: cosign-key\n", "kind: cosign\n"],
    mistakes: ["VALUE_UNKNOWN base.signer.kind 11"],
  },
  { name: "an unknown kind of base", change: ["kind: bootc", "kind: bootd"], mistakes: [] },
  { name: "a short digest", change: ["1".repeat(64), "1".repeat(63)], mistakes: ["VALUE_INVALID imageBuilder.digest 51"] },
  {
    name: "a builder by a moving tag",
    change: [`digest: sha256:${"1".repeat(64)}`, "tag: latest"],
    mistakes: ["UNPINNED imageBuilder.tag 51"],
  },
  { name: "modules by a moving tag", change: ["tag: main-{release}", "tag: main"], mistakes: ["UNPINNED modules.tag 38"] },
  { name: "a tag in the repository", change: ["owner/base\n", "owner/base:42\n"], mistakes: ["VALUE_INVALID base.repository 8"] },
  {
    name: "a repository with an address",
    change: ["      # Where it is mirrored is not the recipe's business.", "      url: https://rpms.example/"],
    mistakes: ["KEY_UNKNOWN base.repositories[0].url 17"],
  },
  {
    name: "a relative key",
    change: ['"/etc/pki/rpm', '"etc/pki/rpm'],
    mistakes: ["VALUE_INVALID base.repositories[0].keys[0] 18"],
  },
  {
    name: "a certificate that climbs",
    change: ["/etc/pki/akmods.der", "/etc/../akmods.der"],
    mistakes: ["VALUE_INVALID modules[0].certificate 44"],
  },
  {
    name: "a unit on both lists",
    change: ["[sshd.service]", "[sshd.service, nftables.service]"],
    mistakes: ["CONTRADICTION units.disabled 47"],
  },
  { name: "a unit that is none", change: ["[sshd.service]", "[sshd]"], mistakes: ["VALUE_INVALID units.disabled[0] 47"] },
  { name: "a package that is also removed", change: ["[firefox]", "[nodejs]"], mistakes: ["CONTRADICTION packages 28"] },
  {
    name: "a tool that Debian cannot have",
    change: ["build: [rpm]", "build: [Rpm_x]"],
    mistakes: ["CONTRADICTION toolRoots.build 30"],
  },
  {
    name: "an output that would come from a live mirror",
    change: ["[oci, qcow2]", "[oci, iso]"],
    mistakes: ["CONTRADICTION outputs 55"],
  },
  {
    name: "a disk of the other kind",
    change: ["sizeBudgetMiB: 4096", "sizeBudgetMiB: 4096\ndisk: { espMiB: 288 }"],
    mistakes: ["CONTRADICTION disk 57"],
  },
  {
    name: "an initrd of the other kind",
    change: ["sizeBudgetMiB: 4096", "sizeBudgetMiB: 4096\ninitrd: { modules: [erofs] }"],
    mistakes: ["CONTRADICTION initrd 57"],
  },
  {
    name: "paths to remove",
    change: ["  commands: [git]", "  commands: [git]\n  paths: [/boot/*]"],
    mistakes: ["CONTRADICTION remove.paths 37"],
  },
  { name: "a missing release", change: ['release: "42"\n', ""], mistakes: ["KEY_MISSING release 1"] },
  { name: "missing tools", change: ["toolRoots:\n  build: [rpm]\n", ""], mistakes: ["KEY_MISSING toolRoots 1"] },
  { name: "a missing list of units", change: ["  disabled: [sshd.service]\n", ""], mistakes: ["KEY_MISSING units.disabled 1"] },
  {
    name: "a seal that is not called experimental",
    change: ["release:", "sealed: true\nrelease:"],
    mistakes: ["VALUE_INVALID sealed 19"],
  },
  {
    name: "two repositories of one name",
    change: ["\nrelease: ", `\n    - { name: fedora, keys: ["/etc/k"] }\nrelease: `],
    mistakes: ["CONTRADICTION base.repositories 15"],
  },
];

for (const { name, change, mistakes } of rejected) {
  test(`a recipe on a container with ${name} is refused there`, async () => {
    const text = whole.replace(...change);
    expect(text).not.toBe(whole);
    const found = await mistakesOf(text);
    if (mistakes.length > 0) expect(found).toEqual(mistakes);
    else expect(found.length).toBeGreaterThan(0);
  });
}

test("what only containers have means nothing with Debian", async () => {
  const debian = await mistakesOf(whole.replace("kind: bootc", "kind: debian"));
  expect(debian.length).toBeGreaterThan(0);
});

test("the release stands in tags, addresses and paths; the rest is as written", async () => {
  folder.write(SMALL, whole);
  const recipe = await loadRecipe(folder.top, SMALL);
  if (!isBootc(recipe)) throw new Error("another kind");
  expect(recipe.base.tag).toBe("42");
  expect(recipe.base.repositories).toEqual([{ name: "fedora", keys: ["/etc/pki/rpm-gpg/key-42"] }]);
  expect(recipe.modules[0]?.tag).toBe("main-42");
});

test("a sealed image's command refuses a recipe on a container by code", async () => {
  folder.write(SMALL, whole);
  const source = await loadRecipeSource(folder.top, SMALL);
  expect(() => requireDebian(source.recipe)).toThrow(expect.objectContaining({ code: "RECIPE_KIND_UNSUPPORTED", exit: 2 }));
  expect(byKind(source, { debian: () => "debian", bootc: ({ recipe }) => recipe.release })).toBe("42");
});

test.each(["silverblue-42", "silverblue-44"])("the committed %s has no mistakes", async (id) => {
  expect(formatMistakes((await checkRecipe(repository, `recipes/${id}.yaml`)).mistakes)).toBe("");
});

test("the next release differs in its release, title and id alone", async () => {
  const [one, other] = await Promise.all(
    ["silverblue-42", "silverblue-44"].map((id) => loadRecipe(repository, `recipes/${id}.yaml`)),
  );
  expect(JSON.stringify(other).replaceAll("44", "42")).toBe(JSON.stringify(one));
});
