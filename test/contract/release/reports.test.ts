import { readFileSync } from "node:fs";
import { join } from "node:path";
import { sha256 } from "@secai/formats/digest";
import { parseVsa } from "@secai/formats/vsa";
import { codeEntry } from "@secai/verify/check-codes";
import { runVerify } from "@secai/verify/command";
import { allChecks } from "@secai/verify/explain-command";
import { reportShape } from "@secai/verify/report";
import { reportHtml } from "@secai/verify/report-html";
import { reportMarkdown } from "@secai/verify/report-markdown";
import { Ajv2020 } from "ajv/dist/2020.js";
import { afterAll, expect, test } from "vitest";
import { makeKeys, makeRelease, suiteResults, temporaryDirectory } from "./fixture.ts";
import { flip, write } from "./forge.ts";

const scratch = temporaryDirectory();
afterAll(() => scratch[Symbol.dispose]());
const at = (name: string) => join(scratch.path, name);
makeKeys(at("keys"));
await makeRelease(at("release"), at("keys"), { files: suiteResults });
await makeRelease(at("spoiled"), at("keys"));
flip(at("spoiled"), "uki.efi", 0);
write(at("spoiled"), "<img src=x>|`*.txt", "x");

async function run(...args: string[]) {
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
  return { exit: await runVerify(args, io), ...said };
}

const validate = new Ajv2020({ strict: true, allErrors: true, allowUnionTypes: true }).compile(
  JSON.parse((await run("release", "--schema", "report")).stdout) as object,
);
for (const args of [
  ["release", at("release")],
  ["release", at("spoiled")],
  ["release", at("release"), "--at", "2090-01-01T00:00:00Z"],
  ["file", at("release/measurements.json")],
  ["file", at("release/uki.efi")],
]) {
  test(`--json of ${args.join(" ").replaceAll(scratch.path, "")} has the published shape`, async () => {
    const report: unknown = JSON.parse((await run(...args, "--json")).stdout);
    expect(validate(report), JSON.stringify(validate.errors)).toBe(true);
    expect(reportShape.mistake(report, "")).toBeUndefined();
  });
}

test("the schema refuses what is no report", () => {
  for (const wrong of [{}, { schema: 1 }, { schema: 2, kind: "release" }]) {
    expect(validate(wrong)).toBe(false);
    expect(reportShape.mistake(wrong, "")).toBeDefined();
  }
});

test("the policy's schema is a schema, and an unknown one is wrong use", async () => {
  const schema = JSON.parse((await run("release", "--schema", "policy")).stdout) as object;
  expect(() => new Ajv2020({ strict: true }).compile(schema)).not.toThrow();
  expect((await run("release", "--schema", "passport")).exit).toBe(2);
});

test("reports are written in every form, and say the same verdict", async () => {
  const files = ["md", "html", "txt", "json"].map((ending) => at(`report.${ending}`));
  const { exit } = await run("release", at("spoiled"), ...files.flatMap((file) => ["--report", file]));
  expect(exit).toBe(1);
  for (const file of files) expect(readFileSync(file, "utf8")).toMatch(/rejected/i);
});

test("a name from the release is text in every form", async () => {
  const report = JSON.parse((await run("release", at("spoiled"), "--json")).stdout);
  const html = reportHtml(report);
  expect(html).not.toContain("<img");
  expect(html).toContain("&lt;img src=x&gt;");
  expect(html).not.toMatch(/<script|https?:\/\//);
  expect(reportMarkdown(report)).not.toContain("<img");
  expect(reportMarkdown(report)).toContain("\\|\\`\\*");
});

for (const file of ["report.pdf", "report", ".md.exe"]) {
  test(`no report in the form of ${file}, and nothing is verified for it`, async () => {
    expect(await run("release", at("release"), "--report", at(file))).toMatchObject({ exit: 2, stdout: "" });
  });
}
test("a report that cannot be written is wrong use", async () => {
  expect(await run("release", at("release"), "--report", at("none/report.md"))).toMatchObject({ exit: 2 });
});

for (const [dir, result, levels] of [
  ["release", "PASSED", ["SLSA_BUILD_LEVEL_1"]],
  ["spoiled", "FAILED", []],
] as const) {
  test(`the verification summary of the ${dir} is SLSA's, and says ${result}`, async () => {
    await run("release", at(dir), "--vsa", at("vsa.json"));
    const summary = parseVsa(readFileSync(at("vsa.json")));
    expect(summary).toMatchObject({ verificationResult: result, verifiedLevels: levels });
    expect(summary.resourceUri).toBe("pkg:generic/secai-os-debian-13@0.1.0");
    const channel = summary.inputAttestations.find(({ uri }) => uri.endsWith(":channel.json.sigstore.json"));
    expect(channel?.digest.sha256).toBe(sha256(readFileSync(join(at(dir), "channel.json.sigstore.json"))));
  });
}

test("the summary's policy digest changes with the policy", async () => {
  const digestOf = async (...args: string[]) => {
    await run("release", at("release"), "--vsa", at("vsa.json"), ...args);
    return parseVsa(readFileSync(at("vsa.json"))).policy.digest.sha256;
  };
  expect(await digestOf("--designation", "dev")).not.toBe(await digestOf());
});

test("every check has an id of its own, and is explained with its codes", async () => {
  const ids = allChecks.map(({ id }) => id);
  expect(ids.filter((id, index) => ids.indexOf(id) !== index)).toEqual([]);
  for (const { id, title, codes = [] } of allChecks) {
    const { stdout, exit } = await run("explain", id);
    expect(exit).toBe(0);
    expect(stdout).toContain(title);
    for (const code of codes) {
      expect(codeEntry(code), `${id} ${code}`).toBeDefined();
      expect(stdout).toContain(code);
    }
  }
});

test("the list of checks names them all, and an unknown one is wrong use", async () => {
  const { stdout } = await run("release", "--explain", "list");
  expect(stdout.split("\n").length - 1).toBe(allChecks.length);
  expect((await run("explain", "no.check")).exit).toBe(2);
  expect((await run("explain")).exit).toBe(2);
});
