import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { sha256 } from "../../../attest/formats/digest.ts";
import { exampleManifestFacts } from "../../../attest/formats/example.test-data.ts";
import { buildManifest, manifestBytes } from "../../../attest/formats/manifest.ts";
import { vector } from "../../../attest/measure/fixtures/vectors.ts";
import { parseMeasurements } from "../../../attest/measure/measurements.ts";
import { enrolledWith } from "../../../services-src/kit/release-statement.test-data.ts";
import { signedStatement, statementKey } from "../../../services-src/runtime-attestor/statement.test-data.ts";
import { statementFor } from "../../../services-src/runtime-attestor/statements.ts";
import { Bench } from "./bench.ts";
import { type Answers, deployment, makeMachine, onMachine, REPOSITORY, status } from "./machine.ts";

// An update of a machine whose enrolment pins who may promise what it boots: the release's statement is there before the release is.

const owner = statementKey();
const stranger = statementKey();
const measurements = parseMeasurements(vector("plain/measurements.json"));
const NEXT = measurements.rootHash;
const RUNNING = "11".repeat(32);
const digest = (pair: string): string => `sha256:${pair.repeat(32)}`;
const NEXT_IMAGE = digest("ab");
const RUNNING_IMAGE = digest("cd");
const PLACE = "machine/var/lib/secure-ai/tpm-attestation";
const BUNDLE = "measurements.json.sigstore.json";

let bench: Bench;
beforeAll(async () => {
  bench = await Bench.open();
  await makeMachine(bench);
  // Says what lay in the folder at the moment when the release was made bootable.
  bench.write(
    "machine/usr/bin/bootc",
    `#!/bin/bash
echo "$*" >> /stub/asked
case $1 in status) cat /stub/status.json ;; switch) shopt -s nullglob; echo /var/lib/secure-ai/tpm-attestation/statements/*.json > /stub/at-switch; exit "$(cat /stub/bootc)" ;; esac
`,
    0o755,
  );
  bench.write("machine/usr/lib/os-release", "IMAGE_ID=secai-os\nIMAGE_VERSION=1.0.0\n");
});
afterAll(() => bench.remove());

/** A release directory that the verifier's stand-in accepts. */
function release({ rootHash = NEXT, image = NEXT_IMAGE, bundles = {} }: Release): void {
  rmSync(bench.at("machine/release"), { recursive: true, force: true });
  const manifests = [{ mediaType: "application/vnd.oci.image.manifest.v1+json", digest: image, size: 1 }];
  const index = JSON.stringify({ schemaVersion: 2, manifests });
  bench.write("machine/release/oci/index.json", index);
  const others = exampleManifestFacts.files.filter(({ name }) => !name.startsWith("oci/"));
  const files = [...others, { name: "oci/index.json", sha256: sha256(index), size: index.length }];
  const manifest = buildManifest({ ...exampleManifestFacts, version: "1.1.0", rootHash, files });
  bench.write("machine/release/RELEASE_MANIFEST.json", manifestBytes(manifest));
  for (const [name, bytes] of Object.entries(bundles)) bench.write(`machine/release/${name}`, bytes);
}
interface Release {
  readonly rootHash?: string;
  readonly image?: string;
  readonly bundles?: Readonly<Record<string, Uint8Array>>;
}

const booted = (image: string) =>
  deployment({
    image: { image: `${REPOSITORY}@${image}`, transport: "registry", signature: "containerPolicy" },
    imageDigest: image,
  });
const running = { status: status({ booted: booted(RUNNING_IMAGE) }) };
const stage = (answers: Answers = {}, ...more: readonly string[]) =>
  onMachine(
    bench,
    ["/usr/bin/node", "/usr/libexec/secure-ai/secai-update.mjs", "stage", "/release", "--key-manifest", "/keys.json", ...more],
    { ...running, ...answers },
  );
const files = (): readonly string[] =>
  existsSync(bench.at(PLACE, "statements")) ? readdirSync(bench.at(PLACE, "statements")).sort() : [];
const statements = () => files().filter((name) => name.endsWith(".sigstore.json"));

const good = signedStatement(measurements, owner);
beforeEach(() => {
  rmSync(bench.at(PLACE), { recursive: true, force: true });
  mkdirSync(bench.at(PLACE), { recursive: true, mode: 0o700 });
  bench.write(`${PLACE}/profile.json`, `${JSON.stringify(enrolledWith([owner.pem]), null, 2)}\n`, 0o600);
  bench.write("machine/proc/cmdline", `quiet roothash=${RUNNING}\n`);
  release({ bundles: { [BUNDLE]: good } });
});

describe("stops before anything is changed, and says why,", () => {
  const rows: readonly {
    readonly name: string;
    readonly code: string;
    readonly exit: number;
    readonly prepare: () => unknown;
    readonly answers?: Answers;
  }[] = [
    { name: "when the release carries no statement", code: "UPDATE_STATEMENT_ABSENT", exit: 1, prepare: () => release({}) },
    {
      name: "when the statement is by nobody whom the enrolment pins",
      code: "UPDATE_STATEMENT_UNTRUSTED",
      exit: 1,
      prepare: () => release({ bundles: { [BUNDLE]: signedStatement(measurements, stranger) } }),
    },
    {
      name: "when the statement was cut",
      code: "UPDATE_STATEMENT_UNTRUSTED",
      exit: 1,
      prepare: () => release({ bundles: { [BUNDLE]: good.subarray(0, 500) } }),
    },
    {
      name: "when the statement is about another release",
      code: "UPDATE_STATEMENT_FOREIGN",
      exit: 1,
      prepare: () => release({ rootHash: "22".repeat(32), bundles: { [BUNDLE]: good } }),
    },
    {
      name: "when the profile is damaged",
      code: "UPDATE_ENROLMENT_UNREADABLE",
      exit: 3,
      prepare: () => bench.write(`${PLACE}/profile.json`, '{"version":2,"mode":"hardware"}\n'),
    },
    {
      name: "when nobody can say what runs",
      code: "UPDATE_ROOT_UNKNOWN",
      exit: 3,
      prepare: () => bench.write("machine/proc/cmdline", "quiet\n"),
    },
    {
      name: "when bootc does not say what is booted",
      code: "DEPLOYMENT_STATUS",
      exit: 3,
      prepare: () => undefined,
      answers: { status: "none" },
    },
  ];
  for (const { name, code, exit, prepare, answers } of rows)
    test(name, () => {
      prepare();
      for (const more of [[], ["--apply"]]) {
        const { status: ended, output, asked } = stage(answers, ...more);
        expect({ ended, named: output.includes(`"code":"${code}"`), switched: asked.includes("switch"), there: files() }).toEqual(
          {
            ended: exit,
            named: true,
            switched: false,
            there: [],
          },
        );
      }
    });

  test("when the folder of statements is a link", () => {
    mkdirSync(bench.at("machine/elsewhere"), { recursive: true });
    symlinkSync("/elsewhere", bench.at(PLACE, "statements"));
    const { status: ended, output, asked } = stage({}, "--apply");
    expect({ ended, named: output.includes("UPDATE_STATEMENTS_UNUSABLE"), switched: asked.includes("switch") }).toEqual({
      ended: 3,
      named: true,
      switched: false,
    });
    expect(readdirSync(bench.at("machine/elsewhere"))).toEqual([]);
  });
});

test("killed in the middle of writing the statement, it leaves no half of one, and the release is not bootable", () => {
  // A process that writes beyond its limit is killed by SIGXFSZ once the first KiB of the statement is written.
  expect(good.length).toBeGreaterThan(1024);
  const command = "ulimit -f 1; node /usr/libexec/secure-ai/secai-update.mjs stage /release --key-manifest /keys.json --apply";
  const { status: ended, asked } = onMachine(bench, ["/bin/bash", "-c", command], running);
  expect([ended === 0, asked.includes("switch"), statements()]).toEqual([false, false, []]);
  expect(files().some((name) => name.endsWith(".new"))).toBe(true);
  expect([stage({}, "--apply").status, files().filter((name) => name.endsWith(".new"))]).toEqual([0, []]);
});

test("without --apply it says what it would do, and places nothing", () => {
  const { status: ended, output, asked } = stage();
  expect([ended, files(), asked]).toEqual([0, [], "status --format=json\n"]);
  expect(output).toContain(NEXT);
});

test("the statement is there before the release is bootable, and the attestor accepts it for that root", () => {
  expect(stage({}, "--apply").status).toBe(0);
  expect(bench.read("machine/stub/at-switch")).toContain(`/statements/${NEXT}.sigstore.json`);
  const path = bench.at(PLACE, "statements", `${NEXT}.sigstore.json`);
  expect([lstatSync(path).mode & 0o7777, lstatSync(bench.at(PLACE, "statements")).mode & 0o7777]).toEqual([0o600, 0o700]);
  const read = statements().map((name) => readFileSync(bench.at(PLACE, "statements", name)));
  expect(read).toEqual([good]);
  expect(statementFor(NEXT, read, [owner.pem])).toMatchObject({ state: "found", value: { rootHash: NEXT } });
});

test("a release that bootc then refuses leaves the machine with every statement that it had", () => {
  mkdirSync(bench.at(PLACE, "statements"), { mode: 0o700 });
  const current = signedStatement({ ...measurements, rootHash: RUNNING as typeof NEXT }, owner);
  writeFileSync(bench.at(PLACE, "statements", `${RUNNING}.sigstore.json`), current, { mode: 0o600 });
  const { status: ended, output } = stage({ bootc: "1" }, "--apply");
  expect([ended, output.includes("UPDATE_COMMAND_FAILED")]).toEqual([3, true]);
  expect(statements()).toContain(`${RUNNING}.sigstore.json`);
});

test("three updates later, the current, the next and the one before are there", () => {
  const roots = ["11", "22", "33", "44"].map((pair) => pair.repeat(32));
  const images = ["a1", "a2", "a3", "a4"].map(digest);
  mkdirSync(bench.at(PLACE, "statements"), { mode: 0o700 });
  const statementOf = (root: string) => signedStatement({ ...measurements, rootHash: root as typeof NEXT }, owner);
  writeFileSync(bench.at(PLACE, "statements", `${roots[0]}.sigstore.json`), statementOf(roots[0] ?? ""));
  for (const step of [1, 2, 3]) {
    const [before, current, next] = [images[step - 2], images[step - 1] ?? "", images[step] ?? ""];
    bench.write("machine/proc/cmdline", `roothash=${roots[step - 1]}\n`);
    release({ rootHash: roots[step] ?? "", image: next, bundles: { [BUNDLE]: statementOf(roots[step] ?? "") } });
    const slots = { booted: booted(current), ...(before === undefined ? {} : { rollback: booted(before) }) };
    expect(stage({ status: status(slots) }, "--apply").status).toBe(0);
  }
  expect(statements()).toEqual(roots.slice(1).map((root) => `${root}.sigstore.json`));
});

describe("a machine that pins nobody", () => {
  for (const [name, profile] of [
    ["is in evaluation", { version: 2, mode: "evaluation" }],
    ["was enrolled without statement keys", enrolledWith([])],
    ["has no profile", undefined],
  ] as const)
    test(`and ${name} takes a release without statement`, () => {
      if (profile === undefined) rmSync(join(bench.at(PLACE), "profile.json"));
      else bench.write(`${PLACE}/profile.json`, JSON.stringify(profile));
      release({});
      const { status: ended, asked } = stage({}, "--apply");
      expect([ended, asked.startsWith("switch "), files()]).toEqual([0, true, []]);
    });
});
