import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { baselineBytes, buildBaseline } from "@secai/formats/baseline";
import { sha256 } from "@secai/formats/digest";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readRepositoryFile } from "../../../scripts/house/tree.ts";
import { makeSingleFile } from "../offline/single-file.ts";
import { baselineFacts, ENGINE, serviceSbom } from "./contents.ts";
import { makeKeys, makeRelease } from "./fixture.ts";

// The page, as an auditor would follow it: its commands in order, in one shell, over a release with the verifier that ships in it.

const scratch = mkdtempSync(join(tmpdir(), "secai-audit-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));
const at = (name: string) => join(scratch, name);
const page = readRepositoryFile("docs/audit-quick-path.md");

/** Every shell block of the page; the one that says where things are is the auditor's to adapt. */
const blocks = [...page.matchAll(/^```sh\n(?<script>[\s\S]*?)^```$/gm)]
  .map((match) => match.groups?.script ?? "")
  .filter((script) => !script.startsWith("export RELEASE="));

beforeAll(async () => {
  makeSingleFile(at("secai-verify.mjs"));
  const verifier = readFileSync(at("secai-verify.mjs"));
  makeKeys(at("keys"));
  const facts = baselineFacts(sha256("root"), ["quiet"], sha256(ENGINE));
  const path = "/usr/libexec/secure-ai/secai-verify.mjs";
  const program = { path, type: "file", mode: "0644", uid: 0, gid: 0, sha256: sha256(verifier), size: verifier.length } as const;
  await makeRelease(at("release"), at("keys"), {
    files: {
      "services/secai-verify.mjs": { content: verifier },
      "sbom/secai-verify.cdx.json": { content: serviceSbom("secai-verify", verifier) },
      "baseline.json": { content: baselineBytes(buildBaseline({ ...facts, files: [...facts.files, program] })) },
    },
  });
  cpSync(at("keys/keys.json"), at("trust.json"));
});

test("the page says where the release and the trust are, and has a command for every minute but the last", () => {
  expect(page).toMatch(/^export RELEASE=.*\nexport TRUST=/m);
  const sections = page.split(/^## Minute \d+/m).slice(1);
  expect(sections.length).toBe(10);
  for (const section of sections.slice(0, -1)) expect(section).toContain("```sh\n");
});

test("every command of the page does what the page says", () => {
  const { status, stdout, stderr } = spawnSync("bash", ["-euo", "pipefail", "-c", blocks.join("\n")], {
    cwd: scratch,
    encoding: "utf8",
    env: {
      PATH: `${dirname(process.execPath)}:${process.env.PATH}`,
      HOME: scratch,
      NO_COLOR: "1",
      RELEASE: "release",
      TRUST: "trust.json",
    },
    maxBuffer: 64 << 20,
  });
  expect({ status, stderr: stderr.slice(-2000) }).toMatchObject({ status: 0 });
  expect(stdout).toMatch(/^ACCEPTED release \(/m);
  expect(stdout).toMatch(/^Verified OK$/m);
  expect(stdout).toMatch(/(\d+)\/\1 as expected/);
  expect(readFileSync(at("verdict.html"), "utf8")).toContain("accepted");
});
