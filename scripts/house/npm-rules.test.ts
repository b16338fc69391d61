import { expect, test } from "vitest";
import { lockFindings, manifestFindings, npmrcFindings, undeclaredImports, unusedDependencies } from "./npm-rules.ts";

for (const version of ["^1.2.3", "~1.2.3", "1.2", "*", "latest", "", "1.2.3 || 2", "file:../x", "git+ssh://h/x.git", "1.2.3\n"]) {
  test(`a dependency on ${JSON.stringify(version)} is refused`, () => {
    expect(manifestFindings("p/package.json", { devDependencies: { x: version } })).toHaveLength(1);
  });
}
test("exact versions pass", () => {
  expect(manifestFindings("p", { dependencies: { x: "1.2.3", y: "0.0.1-rc.1" }, scripts: { test: "t" } })).toEqual([]);
});
for (const script of ["install", "preinstall", "postinstall", "prepare", "prepublishOnly"]) {
  test(`a ${script} script is refused`, () => expect(manifestFindings("p", { scripts: { [script]: "x" } })).toHaveLength(1));
}

const integrity = `sha512-${"A".repeat(86)}==`;
const esbuild = { "node_modules/esbuild": { integrity, hasInstallScript: true } };
const locked = [
  { name: "a registry address", entry: { integrity, resolved: "https://registry.example/x.tgz" } },
  { name: "no integrity", entry: {} },
  { name: "SHA-1 integrity", entry: { integrity: "sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk=" } },
  { name: "no integrity, optional on Linux", entry: { optional: true, os: ["linux"], libc: ["glibc"] } },
  { name: "no integrity, optional anywhere", entry: { optional: true } },
  { name: "no integrity, foreign but required", entry: { os: ["darwin"] } },
  { name: "weak integrity, foreign", entry: { optional: true, os: ["darwin"], integrity: "sha1-x" } },
  { name: "an unknown install script", entry: { integrity, hasInstallScript: true } },
];
for (const { name, entry } of locked) {
  test(`a locked package with ${name} is refused`, () => {
    expect(lockFindings({ ...esbuild, "node_modules/a/node_modules/@b/c": entry })).toHaveLength(1);
  });
}
test("workspaces, links and the known install script pass", () => {
  const ours = { "": {}, "attest/sign": {}, "node_modules/@secai/sign": { resolved: "attest/sign", link: true } };
  expect(lockFindings({ ...ours, ...esbuild })).toEqual([]);
});
test("optional builds for foreign platforms may lack a hash", () => {
  const foreign = { a: { optional: true, os: ["darwin"] }, b: { optional: true, os: ["linux"], libc: ["musl"] } };
  expect(lockFindings({ ...esbuild, "node_modules/a": foreign.a, "node_modules/b": foreign.b })).toEqual([]);
});
test("an entry of the allow-list that went out of use is found", () => expect(lockFindings({})).toHaveLength(1));

const sound = "save-exact=true\nignore-scripts=true\nomit-lockfile-registry-resolved=true\n";
test("a sound .npmrc passes", () => expect(npmrcFindings(sound)).toEqual([]));
for (const line of ["registry=https://r.example/", "@a:registry=http://r.example", "//r.example/:_authToken=x", "_password=x"]) {
  test(`.npmrc with ${line} is refused, without printing the value`, () => {
    const findings = npmrcFindings(`${sound}${line}\n`);
    expect(findings).toHaveLength(1);
    expect(findings[0]).not.toContain("example/=");
  });
}
test("ignore-scripts switched off is found", () => {
  expect(npmrcFindings(sound.replace("ignore-scripts=true", "ignore-scripts=false"))).toHaveLength(1);
});

test("a dependency that nobody imports is found; sub-paths and scopes count as use", () => {
  const manifest = { dependencies: { ajv: "1.0.0", "@a/b": "1.0.0", yaml: "1.0.0" } };
  expect(unusedDependencies("p", manifest, ["ajv/dist/2020.js", "@a/b/c", "./yaml", "node:fs"])).toEqual([
    "p: yaml is declared and imported by nobody",
  ]);
});

test("an undeclared import is found; a test may use the shared test tools, code may not", () => {
  const imports = ["p/a.ts", "p/a.test.ts"].flatMap((from) =>
    ["vitest", "yaml/x", "node:fs", "./b.ts", "ajv"].map((specifier) => ({ from, specifier })),
  );
  const found = undeclaredImports(
    "p/package.json",
    { dependencies: { ajv: "1.0.0" } },
    { devDependencies: { vitest: "1.0.0" } },
    imports,
  );
  expect(found.map((line) => line.split(",")[0])).toEqual([
    "p/a.ts: imports vitest",
    "p/a.ts: imports yaml",
    "p/a.test.ts: imports yaml",
  ]);
});
