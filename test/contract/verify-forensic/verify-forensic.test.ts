import { execFileSync, spawnSync } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CodedError } from "@secai/formats/errors";
import { type ForensicBundle, verifyForensic } from "@secai/formats/forensic";
import { pemOf, signForensic } from "@secai/formats/forensic.test-data";
import { parseShape } from "@secai/formats/shape";
import { forensicReportShape } from "@secai/verify/forensic-report";
import { Ajv2020 } from "ajv/dist/2020.js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { fencedCommands } from "../../../scripts/house/doc-page.ts";
import { readRepositoryFile, top } from "../../../scripts/house/tree.ts";
import { createHome, startRecorder, until } from "../incident-recorder/recorder.ts";
import { makeSingleFile, runApart } from "../offline/single-file.ts";

// A bundle that a running recorder exported, verified the two ways that an auditor has: from a checkout, and with the one file that ships,
// on the image's Node, without a network.

const folder = mkdtempSync(join(tmpdir(), "secai-verify-forensic-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string): string => join(folder, name);
const put = (name: string, content: string | Uint8Array): string => {
  writeFileSync(at(name), content);
  return name;
};
const BUNDLE = "forensic.json";
const KEY = ["--key", "incident-recorder-signing.pub"];
let exported: string;
let publicKey: string;
let bundle: ForensicBundle;

beforeAll(async () => {
  makeSingleFile(at("secai-verify.mjs"));
  const home = await createHome();
  const service = await startRecorder(home);
  try {
    await home.startTargets();
    const reports: readonly Parameters<typeof service.report>[0][] = [
      {
        source: "integrity-monitor",
        description: "a policy changed",
        evidence: { path: "/etc/x", sizes: [1, null], more: { ratio: 0.25 } },
      },
      { source: "gpu-integrity-watch", class: "manifest_mismatch", description: "weights \u202e differ" },
      { source: "integrity-monitor", description: "a service changed" },
    ];
    for (const report of reports) expect((await service.report(report)).status).toBe(201);
    await until(async () => (await service.incidents()).every(({ state }) => state !== "open"));
    const answer = await service.call("forensic", "/api/v1/forensic/export");
    expect(answer.status).toBe(200);
    exported = answer.text;
    publicKey = home.publicKey;
  } finally {
    await service.end("SIGKILL");
    await home.remove();
  }
  bundle = JSON.parse(exported) as ForensicBundle;
  put(BUNDLE, exported);
  put("incident-recorder-signing.pub", publicKey);
});

const checkout = (...args: readonly string[]) =>
  spawnSync(join(top, "scripts/secai"), ["verify", "forensic", ...args], { cwd: folder, encoding: "utf8", timeout: 60_000 });
const single = (...args: readonly string[]) => runApart(folder, ["node", at("secai-verify.mjs"), "forensic", ...args], "nothing");

/** Why something is no JSON, each engine says in its own words. */
const alike = (text: string): string => text.replace(/("expected": "UTF-8 JSON",\s+"actual": )"(?:[^"\\]|\\.)*"/, '$1"-"');

/** What both say, which must be the same. */
function ask(...args: readonly string[]) {
  const [one, other] = [checkout(...args), single(...args)];
  const answers = [one, other].map(({ status, stdout, stderr }) => ({ status, stdout: alike(stdout), stderr: alike(stderr) }));
  expect(answers[1]).toEqual(answers[0]);
  return { status: one.status, stdout: one.stdout, stderr: one.stderr };
}

function changed(
  change: (copy: { incidents: unknown[]; audit_entries: string[]; system_state: { total_incidents: number } }) => unknown,
): string {
  const copy = JSON.parse(exported);
  change(copy);
  return JSON.stringify(copy);
}

test("the bundle has several incidents and a log, or nothing could be taken out of it", () => {
  expect(bundle.incidents.length).toBe(3);
  expect(bundle.audit_entries.length).toBeGreaterThan(5);
});

describe("rejected", () => {
  const flip = (share: number): string => {
    const bytes = Buffer.from(exported);
    const position = Math.floor(bytes.length * share);
    bytes[position] = (bytes[position] ?? 0) ^ 1;
    return bytes.toString("latin1");
  };
  const stranger = generateKeyPairSync("ed25519");
  const unsigned = (): object => {
    const { signature: _, ...payload } = bundle;
    return payload;
  };
  const rows: readonly { readonly name: string; readonly code: RegExp; readonly content: () => string | Uint8Array }[] = [
    ...[0.1, 0.5, 0.9, 0.99].map((share) => ({
      name: `a bit flipped at ${share} of it`,
      code: /FORENSIC_\w+|JSON_MALFORMED|SCHEMA_MISMATCH/,
      content: () => flip(share),
    })),
    { name: "an incident taken out", code: /FORENSIC_SIGNATURE/, content: () => changed((copy) => copy.incidents.splice(1, 1)) },
    {
      name: "an incident taken out, and not counted",
      code: /FORENSIC_SIGNATURE/,
      content: () =>
        changed((copy) => {
          copy.incidents.pop();
          copy.system_state.total_incidents -= 1;
        }),
    },
    ...[0, 2, -1].map((index) => ({
      name: `audit entry ${index} taken out`,
      code: /FORENSIC_SIGNATURE/,
      content: () => changed((copy) => copy.audit_entries.splice(index, 1)),
    })),
    {
      name: "two audit entries changed over",
      code: /FORENSIC_SIGNATURE/,
      content: () => changed((copy) => copy.audit_entries.reverse()),
    },
    {
      name: "signed again by somebody else",
      code: /FORENSIC_KEY/,
      content: () => JSON.stringify(signForensic(unsigned(), stranger)),
    },
    {
      name: "signed again by somebody else under this machine's name",
      code: /FORENSIC_SIGNATURE/,
      content: () => {
        const { signature } = signForensic(unsigned(), stranger);
        return JSON.stringify({ ...unsigned(), signature: { ...signature, key_id: bundle.signature.key_id } });
      },
    },
    { name: "its first half", code: /JSON_MALFORMED/, content: () => exported.slice(0, exported.length / 2) },
    { name: "all but its last byte", code: /JSON_MALFORMED/, content: () => exported.trimEnd().slice(0, -1) },
    { name: "nothing", code: /JSON_MALFORMED/, content: () => "" },
    { name: "itself twice", code: /JSON_MALFORMED/, content: () => `${exported.trimEnd()}\n${exported}` },
    { name: "itself with blanks up to 65 MiB", code: /JSON_TOO_LARGE/, content: () => exported.padEnd(65 << 20) },
    { name: "itself with blanks", code: /FORENSIC_AMBIGUOUS/, content: () => `${exported.trimEnd()}   ` },
    { name: "itself, printed nicely", code: /FORENSIC_AMBIGUOUS/, content: () => JSON.stringify(bundle, null, 2) },
  ];
  for (const { name, code, content } of rows)
    test(name, () => {
      const { status, stdout, stderr } = ask(put("rejected.json", content()), ...KEY, "--json");
      const { verdict, refusal, summary } = parseShape(forensicReportShape, JSON.parse(stdout), "the report");
      expect({ status, verdict, summary, stderr }).toEqual({
        status: 1,
        verdict: "rejected",
        summary: undefined,
        stderr: `rejected ${refusal?.code}\n`,
      });
      expect(refusal?.code).toMatch(code);
      expect(refusal?.fix).not.toBe("");
    });

  test("65 MiB of nothing", () => {
    truncateSync(at(put("large.json", "")), 65 << 20);
    expect(ask("large.json", ...KEY)).toMatchObject({ status: 1, stdout: expect.stringContaining("FAIL JSON_TOO_LARGE: ") });
  });

  test("under another machine's key", () => {
    put("other.pub", pemOf(stranger.publicKey));
    const { status, stdout } = ask(BUNDLE, "--key", "other.pub");
    expect([status, /^FAIL FORENSIC_KEY: .*\n {2}fix: .*incident-recorder-signing\.pub/m.test(stdout)]).toEqual([1, true]);
  });

  test("every single changed byte of a sample, by a name", () => {
    const bytes = Buffer.from(exported);
    for (let position = 0; position < bytes.length; position += 61) {
      const copy = Buffer.from(bytes);
      copy[position] = (copy[position] ?? 0) ^ 4;
      expect(() => verifyForensic(copy, publicKey), `${position}`).toThrow(CodedError);
    }
  });
});

describe("not looked at", () => {
  const rows: readonly { readonly name: string; readonly code: string; readonly file: () => string }[] = [
    { name: "no file", code: "TARGET_MISSING", file: () => "none.json" },
    {
      name: "a link to the bundle",
      code: "TARGET_MISSING",
      file: () => {
        symlinkSync(BUNDLE, at("link.json"));
        return "link.json";
      },
    },
    {
      name: "a link to nowhere",
      code: "TARGET_MISSING",
      file: () => {
        symlinkSync("nowhere", at("dangling.json"));
        return "dangling.json";
      },
    },
    {
      name: "a pipe that nobody writes into",
      code: "TARGET_MISSING",
      file: () => {
        execFileSync("mkfifo", [at("pipe.json")]);
        return "pipe.json";
      },
    },
    {
      name: "a folder",
      code: "TARGET_MISSING",
      file: () => {
        mkdirSync(at("folder.json"));
        return "folder.json";
      },
    },
  ];
  for (const { name, code, file } of rows)
    test(name, () => {
      const { status, stdout, stderr } = ask(file(), ...KEY);
      expect({ status, stdout, named: stderr.startsWith(`${code}: `), fix: /\n {2}fix: .+\n$/.test(stderr) }).toEqual({
        status: 2,
        stdout: "",
        named: true,
        fix: true,
      });
    });

  test("without a key, or with the wrong kind of file for one", () => {
    expect(ask(BUNDLE)).toMatchObject({ status: 2, stderr: expect.stringMatching(/^TRUST_ROOT_MISSING: /) });
    expect(ask(BUNDLE, "--key", BUNDLE)).toMatchObject({ status: 2, stderr: expect.stringMatching(/^TRUST_KEY_UNUSABLE: /) });
  });
});

describe("accepted", () => {
  test("with every incident in the table, and nothing of theirs that steers a terminal", () => {
    const { status, stdout, stderr } = ask(BUNDLE, ...KEY, "--verbose");
    expect([status, stderr]).toEqual([0, ""]);
    for (const { id, severity, state, count } of bundle.incidents)
      expect(stdout).toMatch(new RegExp(`^${id} +\\w+ +${severity} +${state} +${count} +20`, "m"));
    expect(stdout).toContain(`head ${bundle.audit_head.mac}`);
    expect(stdout).toContain(`trusted      key ${bundle.signature.key_id}`);
    expect(stdout).toContain("weights \\u{202e} differ");
    expect(stdout).toMatch(/^ACCEPTED forensic\.json$/m);
    expect(stdout.replaceAll("\n", "")).not.toMatch(/[\p{Cc}\p{Cf}]/u);
  });

  test("with the report that the published schema describes", () => {
    const { status, stdout } = ask(BUNDLE, ...KEY, "--json");
    const published = (name: string) => JSON.parse(readRepositoryFile(`docs/schemas/${name}.schema.json`));
    const ajv = new Ajv2020({ strict: true, allowUnionTypes: true });
    expect(ajv.validate(published("forensic-report"), JSON.parse(stdout)), ajv.errorsText()).toBe(true);
    expect(ajv.validate(published("forensic-bundle"), bundle), ajv.errorsText()).toBe(true);
    expect([status, JSON.parse(stdout).summary.incidents.length]).toEqual([0, bundle.incidents.length]);
  });

  test("by every command of the guide", () => {
    const commands = fencedCommands(readRepositoryFile("docs/guides/verify.md"))
      .map(({ text }) => text.split(" "))
      .filter(([program, verb, what]) => program === "scripts/secai" && verb === "verify" && what === "forensic");
    expect(commands.length).toBeGreaterThanOrEqual(2);
    for (const command of commands) expect([command.join(" "), ask(...command.slice(3)).status]).toEqual([command.join(" "), 0]);
  });
});
