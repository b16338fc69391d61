import { cpSync, lstatSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { sha256 } from "../../../attest/formats/digest.ts";
import { exampleManifestFacts } from "../../../attest/formats/example.test-data.ts";
import { buildManifest, manifestBytes } from "../../../attest/formats/manifest.ts";
import { escapePath } from "../../../pipelines/silverblue/units.ts";
import { fencedCommands } from "../../../scripts/house/doc-page.ts";
import { readRepositoryFile, top } from "../../../scripts/house/tree.ts";
import { Bench } from "./bench.ts";
import { type Answers, DIGEST, deployment, greenbootScripts, makeMachine, onMachine, REPOSITORY, status } from "./machine.ts";

// The scripts and programs that the image brings to a machine, run in a root that has them where the image has them.
let bench: Bench;
beforeAll(async () => {
  bench = await Bench.open();
  await makeMachine(bench);
});
afterAll(() => bench.remove());

const check = (name: string) => `/usr/lib/greenboot/check/required.d/${name}.sh`;

test("every script is a program, and shellcheck has nothing to say", () => {
  const scripts = greenbootScripts();
  expect(scripts.length).toBeGreaterThanOrEqual(4);
  for (const path of scripts) expect(lstatSync(join(top, "image/silverblue", path)).mode & 0o111, path).toBe(0o111);
  cpSync(join(top, "image/silverblue"), bench.at("overlay"), { recursive: true });
  bench.tools(`shellcheck --severity=style ${scripts.map((path) => `overlay${path}`).join(" ")}`);
});

describe("attested", () => {
  const unit = "secure-ai-runtime-attestor.service";
  const run = (answers: Answers) => onMachine(bench, [check("10-secure-ai-attested")], answers);
  test("a deployment of ours whose attestor is active is good", () => expect(run({ active: [unit] }).status).toBe(0));

  const bad: readonly { name: string; says: string; answers: Answers }[] = [
    {
      name: "follows a tag",
      says: "DEPLOYMENT_UNPINNED",
      answers: {
        status: status({
          booted: deployment({ image: { image: `${REPOSITORY}:1`, transport: "registry", signature: "containerPolicy" } }),
        }),
      },
    },
    { name: "is unsigned", says: "DEPLOYMENT_UNSIGNED", answers: { status: status({ booted: deployment({}, "insecure") }) } },
    {
      name: "is somebody else's",
      says: "DEPLOYMENT_FOREIGN",
      answers: {
        status: status({
          booted: deployment({
            image: { image: `other.example/x@${DIGEST}`, transport: "registry", signature: "containerPolicy" },
          }),
        }),
      },
    },
    { name: "does not exist", says: "DEPLOYMENT_STATUS", answers: { status: status({}) } },
    { name: "cannot be asked for", says: "DEPLOYMENT_STATUS", answers: { status: "error" } },
  ];
  for (const { name, says, answers } of bad)
    test(`a deployment that ${name} is not`, () => {
      const { status: ended, output } = run(answers);
      expect({ ended, named: output.includes(says) && output.includes("SECAI-UPDATE-REFUSED") }).toEqual({
        ended: 1,
        named: true,
      });
    });

  test("the image's attestor must be active; where there is none, nobody asks for it", () => {
    expect(run({}).output).toContain(`SECAI-HEALTH-FAILED: ${unit} is not active`);
    bench.tools(`mv machine/usr/lib/systemd/system/${unit} machine/hidden`);
    expect(run({}).status).toBe(0);
    bench.tools(`mv machine/hidden machine/usr/lib/systemd/system/${unit}`);
  });
});

describe("services", () => {
  const run = (answers: Answers, health?: number) => onMachine(bench, [check("20-secure-ai-services")], answers, health);
  beforeAll(() => void bench.write("machine/usr/lib/secure-ai/health-patience", "2\n"));

  test("a healthy policy engine and no failed unit are good", () => expect(run({}, 200).status).toBe(0));
  test("a policy engine that answers 503 is not", () =>
    expect(run({}, 503)).toMatchObject({ status: 1, output: "SECAI-HEALTH-FAILED: policy-engine does not answer on port 8500" }));
  test("a policy engine that does not answer is not", () => expect(run({}).status).toBe(1));
  test("a failed unit is not, and is named", () =>
    expect(run({ failed: "sad.service loaded failed failed Sad\nworse.mount loaded failed failed Worse\n" }, 200)).toMatchObject({
      status: 1,
      output: "SECAI-HEALTH-FAILED: failed units: sad.service worse.mount",
    }));
  test("without the list of endpoints nothing is good", () => {
    bench.tools("mv machine/usr/lib/secure-ai/health-endpoints machine/hidden");
    expect(run({}, 200).status).toBe(1);
    bench.tools("mv machine/hidden machine/usr/lib/secure-ai/health-endpoints");
  });
});

describe("firewall", () => {
  const run = (answers: Answers) => onMachine(bench, [check("30-secure-ai-firewall")], answers);
  test("the loaded table that drops is good", () => expect(run({}).status).toBe(0));
  test("no table is not", () => expect(run({ rules: "" }).status).toBe(1));
  test("a chain that accepts is not, and is named", () =>
    expect(
      run({
        rules: "type filter hook input priority filter; policy drop;\ntype filter hook output priority filter; policy accept;",
      }),
    ).toMatchObject({
      status: 1,
      output: "SECAI-HEALTH-FAILED: the firewall does not drop by default in output",
    }));
});

test("a bad boot says on the kernel's log why", () => {
  const journal = "SECAI-HEALTH-FAILED: the firewall is not loaded\nSECAI-HEALTH-FAILED: the firewall is not loaded\n";
  bench.tools("rm -f machine/dev/kmsg; mkdir -p machine/dev; : > machine/dev/kmsg");
  expect(onMachine(bench, ["/usr/lib/greenboot/red.d/50-secure-ai-report.sh"], { journal }).status).toBe(0);
  expect(bench.read("machine/dev/kmsg")).toBe("<2>secure-ai: SECAI-HEALTH-FAILED: the firewall is not loaded\n");
});

describe("secai-update", () => {
  const update = (args: readonly string[], answers: Answers = {}) =>
    onMachine(bench, ["/usr/bin/node", "/usr/libexec/secure-ai/secai-update.mjs", ...args], answers);
  const stage = (...more: readonly string[]) => ["stage", "/release", "--key-manifest", "/keys.json", ...more];

  /** What the adapter reads of a release once the verifier has accepted it. */
  function release(version: string, change: (index: string) => string = (index) => index, folder = "machine/release"): void {
    const index = JSON.stringify({
      schemaVersion: 2,
      manifests: [{ mediaType: "application/vnd.oci.image.manifest.v1+json", digest: DIGEST, size: 1 }],
    });
    bench.write(`${folder}/oci/index.json`, change(index));
    const others = exampleManifestFacts.files.filter(({ name }) => !name.startsWith("oci/"));
    const files = [...others, { name: "oci/index.json", sha256: sha256(index), size: index.length }];
    bench.write(`${folder}/RELEASE_MANIFEST.json`, manifestBytes(buildManifest({ ...exampleManifestFacts, version, files })));
    bench.write("machine/usr/lib/os-release", "ID=fedora\nIMAGE_ID=secai-os\nIMAGE_VERSION=1.0.0\n");
  }

  test("stages an accepted, newer release by digest under the signature policy, when told to", () => {
    release("1.1.0");
    const command = `bootc switch --enforce-container-sigpolicy --transport registry ${REPOSITORY}@${DIGEST}`;
    const dry = update(stage());
    expect({ status: dry.status, said: dry.output.includes(command), asked: dry.asked }).toEqual({
      status: 0,
      said: true,
      asked: "",
    });
    expect(bench.read("machine/stub/verified")).toBe("release /release --key-manifest /keys.json --json");
    expect(update(stage("--apply")).asked).toBe(`${command.slice("bootc ".length)}\n`);
  });

  test("asks bootc for nothing when the verifier does not accept", () => {
    release("1.1.0");
    for (const verdict of ["1", "2", "3", "70"]) {
      const { status: ended, output, asked } = update(stage("--apply"), { verdict });
      expect({ ended, named: output.includes("UPDATE_RELEASE_REFUSED"), asked }).toEqual({ ended: 1, named: true, asked: "" });
    }
  });

  for (const version of ["1.0.0", "0.9.9", "1.0.0~rc1"])
    test(`does not go back to ${version}`, () => {
      release(version);
      expect(update(stage("--apply")).output).toContain("UPDATE_NOT_NEWER");
    });

  test("does not take an index that changed after it was accepted", () => {
    release("1.1.0", (index) => index.replace("abab", "cdcd"));
    expect(update(stage("--apply")).output).toContain("UPDATE_IMAGE_ABSENT");
  });

  test("says so when bootc refuses", () => {
    release("1.1.0");
    expect(update(stage("--apply"), { bootc: "1" })).toMatchObject({
      status: 3,
      output: expect.stringContaining("UPDATE_COMMAND_FAILED"),
    });
  });

  test("rolls back to a deployment of ours only", () => {
    expect(update(["rollback", "--apply"], { status: status({ rollback: deployment() }) }).asked).toBe(
      "status --format=json\nrollback\n",
    );
    expect(update(["rollback", "--apply"], { status: status({ rollback: deployment({}, "insecure") }) }).output).toContain(
      "DEPLOYMENT_UNSIGNED",
    );
    expect(update(["rollback", "--apply"]).output).toContain("DEPLOYMENT_STATUS");
  });

  test("every command of the guide does what the guide says", () => {
    const commands = fencedCommands(readRepositoryFile("docs/guides/silverblue.md")).filter(({ text }) =>
      text.startsWith("node "),
    );
    expect(commands.map(({ text }) => text.split(" ")[2])).toEqual(["booted", "stage", "stage", "rollback"]);
    release("1.1.0", (index) => index, "machine/run/media/release");
    for (const { text } of commands) {
      const [, program = "", ...args] = text.split(" ");
      const ended = onMachine(bench, ["/usr/bin/node", program, ...args], {
        status: status({ booted: deployment(), rollback: deployment() }),
      });
      expect({ text, status: ended.status }).toEqual({ text, status: 0 });
      expect(ended.asked.includes("switch"), text).toBe(text.includes("--apply"));
    }
  });

  for (const args of [[], ["apply"], ["stage", "/release"], ["booted", "x"], ["booted", "--force"], ["rollback", "now"]])
    test(`wrong use: ${args.join(" ") || "nothing"}`, () =>
      expect(update(args)).toMatchObject({ status: 2, output: expect.stringContaining("UPDATE_USAGE") }));
});

test("our names of mount units are those of systemd-escape", () => {
  for (const path of ["/run/secure-ai/tmp", "/", "/a//b/", "/.hidden/x.y", "/with space/ü", "/a-b_c:d"])
    expect(`${escapePath(path)}.mount\n`, path).toBe(bench.tools(`systemd-escape --path --suffix=mount '${path}'`));
});
