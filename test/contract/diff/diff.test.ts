import { cpSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { sha256 } from "@secai/formats/digest";
import { parseShape } from "@secai/formats/shape";
import { runDiff } from "@secai/release/diff/command";
import { type DiffReport, diffReportShape } from "@secai/release/diff/report";
import { Ajv2020 } from "ajv/dist/2020.js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeKeys, makeRelease, temporaryDirectory } from "../release/fixture.ts";
import { flip, remove } from "../release/forge.ts";
import { debian, file, firewallPath, releaseOver, rootFacts, unit, unitPath } from "./fixture.ts";

const scratch = temporaryDirectory();
afterAll(() => scratch[Symbol.dispose]());
const at = (name: string) => join(scratch.path, name);

beforeAll(async () => {
  makeKeys(at("keys"));
  makeKeys(at("new-keys"));
  const a = rootFacts();
  await makeRelease(at("a"), at("keys"), releaseOver(a, { zlib: "1.2", libc: "2.41" }));
  const changed = rootFacts({
    kernelArguments: ["quiet", "lockdown=integrity", "console=tty0", "console=ttyS0", "debug"],
    files: [
      ...a.files.filter(({ path }) => !["/usr/bin/tool", firewallPath].includes(path)),
      file("/usr/bin/tool", "tool", "4755"),
      file(firewallPath, "open firewall"),
      file("/usr/bin/shell", "shell"),
      file(unitPath("c.service"), "c.service"),
    ],
    units: [unit("a.service", false), unit("b.service", false), unit("c.service", true)],
    ports: [{ service: "policy-engine", address: "127.0.0.2", port: 8500 }],
    sysctl: { "kernel.sysrq": "1", "kernel.kptr_restrict": "2" },
    firewall: { path: firewallPath, sha256: sha256("open firewall") },
    packages: [debian("bash", "1.0-2"), debian("netcat", "1")],
  });
  await makeRelease(at("b"), at("new-keys"), releaseOver(changed, { zlib: "1.3", evil: "6.6" }));
  cpSync(at("a"), at("flipped"), { recursive: true });
  flip(at("flipped"), "uki.efi", 0);
  cpSync(at("a"), at("copy"), { recursive: true });
});

async function diff(...args: readonly string[]) {
  const said = { stdout: "", stderr: "" };
  const io = {
    stdout: (text: string) => {
      said.stdout += text;
    },
    stderr: (text: string) => {
      said.stderr += text;
    },
    env: { SECAI_KEYS: at("keys") },
  };
  return { exit: await runDiff(args, io), ...said };
}
const trust = () => ["--designation=dev", ...["keys", "new-keys"].map((keys) => `--key=${at(keys)}/release.pub`)];
const report = async (...args: readonly string[]) => JSON.parse((await diff(...args, "--json")).stdout) as DiffReport;

/** A row as one line: what a reader of the table has to see. */
const lines = ({ rows }: DiffReport, ...wanted: readonly string[]) =>
  rows
    .filter(({ section }) => wanted.includes(section))
    .map(
      ({ section, item, change, before, after }) =>
        `${section} ${change} ${item} ${JSON.stringify(before)} ${JSON.stringify(after)}`,
    );

describe("planted changes", () => {
  test("exactly those of the sealed root, no more and no less", async () => {
    const found = await report(at("a"), at("b"), ...trust());
    const digest = (text: string) => `"sha256":"${sha256(text)}"`;
    const deb = (name: string, version: string) =>
      `"package URL":"pkg:deb/debian/${name}@${version}?arch=amd64&distro=debian-13","hashes":"SHA-256:${sha256(`${name} ${version}`)}"`;
    expect(
      lines(
        found,
        "packages",
        "units",
        "kernel-arguments",
        "files",
        "ports",
        "services",
        "policies",
        "firewall",
        "sysctl",
        "components",
      ),
    ).toEqual([
      'packages changed bash:amd64 {"version":"1.0-1"} {"version":"1.0-2"}',
      'packages added netcat:amd64 null {"version":"1"}',
      'packages removed nftables:amd64 {"version":"1.0-1"} null',
      'units changed a.service {"enabled":"yes"} {"enabled":"no"}',
      `units added c.service null {"enabled":"yes",${digest("c.service")}}`,
      "kernel-arguments added debug null {}",
      'kernel-arguments changed lockdown {"value":"confidentiality"} {"value":"integrity"}',
      `files changed /etc/nftables.conf {"size":"18",${digest("firewall")}} {"size":"13",${digest("open firewall")}}`,
      `files added /usr/bin/shell null {"type":"file","mode":"0644","owner":"0:0","size":"5",${digest("shell")}}`,
      'files changed /usr/bin/tool {"mode":"0644"} {"mode":"4755"}',
      `files added ${unitPath("c.service")} null {"type":"file","mode":"0644","owner":"0:0","size":"9",${digest("c.service")}}`,
      'ports changed policy-engine 8500 {"address":"127.0.0.1"} {"address":"127.0.0.2"}',
      `firewall changed ${firewallPath} {${digest("firewall")}} {${digest("open firewall")}}`,
      'sysctl added kernel.kptr_restrict null {"value":"2"}',
      'sysctl changed kernel.sysrq {"value":"0"} {"value":"1"}',
      'sysctl removed net.ipv4.ip_forward {"value":"0"} null',
      `components changed image: library bash {"version":"1.0-1",${deb("bash", "1.0-1")}} {"version":"1.0-2",${deb("bash", "1.0-2")}}`,
      'components added image: library evil null {"version":"6.6"}',
      'components removed image: library libc {"version":"2.41"} null',
      `components added image: library netcat null {"version":"1",${deb("netcat", "1")}}`,
      `components removed image: library nftables {"version":"1.0-1",${deb("nftables", "1.0-1")}} null`,
      'components changed image: library zlib {"version":"1.2"} {"version":"1.3"}',
    ]);
    expect(found.verified).toBe(true);
  });

  test("another release key shows as such, and files that changed show with their sizes", async () => {
    const { rows } = await report(at("a"), at("b"), ...trust());
    const items = (section: string) => rows.filter((row) => row.section === section).map(({ item }) => item);
    expect(items("keys")).toEqual(expect.arrayContaining(["file keys/release.pub", "roles release keys"]));
    expect(items("keys")).not.toContain("file keys/PK.crt");
    expect(items("release")).toEqual(["release key"]);
    // Another command line is another kernel image, and shows in the registers that measure it.
    expect(items("measurements")).toEqual(
      expect.arrayContaining(["commandLine", "pcrs sha256 4", "pcrs sha256 11", "uki sha256"]),
    );
    expect(items("measurements")).not.toContain("pcrs sha256 7");
    expect(items("artifacts")).toEqual(expect.arrayContaining(["baseline.json", "sbom/image.cdx.json", "keys/release.pub"]));
    expect(items("artifacts")).not.toContain("disk.raw.zst");
    expect(items("policies")).toEqual([]);
  });

  test("--exit-code tells different from equal, and is silent without it", async () => {
    expect((await diff(at("a"), at("b"), ...trust(), "--exit-code")).exit).toBe(1);
    expect((await diff(at("a"), at("b"), ...trust())).exit).toBe(0);
  });
});

test("a release and its copy: no differences", async () => {
  const found = await report(at("a"), at("copy"));
  expect(found.rows).toEqual([]);
  expect(found.counts).toEqual({ added: 0, removed: 0, changed: 0 });
  expect((await diff(at("a"), at("copy"))).stdout).toContain("no differences");
});

test("releases without a baseline cannot be compared in that part, and --exit-code does not call them equal", async () => {
  cpSync(at("a"), at("bare"), { recursive: true });
  remove(at("bare"), "baseline.json");
  const bare = [at("bare"), at("bare"), "--unverified"];
  const found = await report(...bare);
  expect(found.rows).toEqual([]);
  expect(found.notCompared).toContainEqual({ section: "packages", reason: "neither release says" });
  expect((await diff(...bare, "--exit-code")).exit).toBe(3);
  const reason = "the second release does not say";
  expect((await report(at("a"), ...bare.slice(1))).notCompared).toContainEqual({ section: "units", reason });
});

describe("what is refused", () => {
  const refused: readonly { readonly name: string; readonly args: () => readonly string[]; readonly code: string }[] = [
    { name: "one directory", args: () => [at("a")], code: "DIFF_USAGE" },
    { name: "three directories", args: () => [at("a"), at("a"), at("a")], code: "DIFF_USAGE" },
    { name: "an unknown option", args: () => [at("a"), at("a"), "--loose"], code: "DIFF_USAGE" },
    { name: "a release with a flipped byte", args: () => [at("a"), at("flipped")], code: "GATE_REJECTED" },
    { name: "a release of a key that is not trusted", args: () => [at("a"), at("b")], code: "GATE_REJECTED" },
    { name: "a directory that is not there", args: () => [at("none"), at("a")], code: "GATE_UNASKABLE" },
    { name: "a page in no folder", args: () => [at("a"), at("a"), "--html", at("none/page.html")], code: "DIFF_NOT_WRITTEN" },
  ];
  test.each(refused)("$name", async ({ args, code }) => {
    await expect(diff(...args())).rejects.toMatchObject({ code });
  });

  test("--unverified compares it all the same and says so in every output", async () => {
    const args = [at("a"), at("flipped"), "--unverified"];
    expect((await report(...args)).verified).toBe(false);
    const { stdout } = await diff(...args, "--html", at("unverified.html"));
    expect(stdout).toContain("NOT VERIFIED");
    expect(readFileSync(at("unverified.html"), "utf8")).toContain("Not verified");
  });
});

test("the page loads nothing, and names from a release stay text in it", async () => {
  const evil = '<script src="https://x.example/"></script>\u001b[2J&"\'';
  await makeRelease(at("evil"), at("keys"), releaseOver(rootFacts(), { [evil]: "1<2" }));
  const { stdout } = await diff(at("a"), at("evil"), "--html", at("evil.html"));
  expect(stdout).not.toContain("\u001b");
  const html = readFileSync(at("evil.html"), "utf8");
  expect(html).toContain("&lt;script src=&quot;https://x.example/&quot;&gt;&lt;/script&gt;?[2J&amp;&quot;&#39;");
  expect(html).not.toMatch(/<script|<img|<link|src=["']|href=|url\(|@import/i);
  expect(html).toContain("default-src 'none'");
});

test("--json has the published shape, in our validator and in ajv's", async () => {
  const found = await report(at("a"), at("b"), ...trust());
  expect(parseShape(diffReportShape, found, "a comparison")).toEqual(found);
  const published = JSON.parse(readFileSync("docs/schemas/release-diff.schema.json", "utf8")) as object;
  const validate = new Ajv2020({ strict: true }).compile(published);
  expect(validate(found), JSON.stringify(validate.errors)).toBe(true);
  expect(validate({ ...found, verified: "yes" })).toBe(false);
});
