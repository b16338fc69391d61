import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { sha256 } from "@secai/formats/digest";
import { CodedError } from "@secai/formats/errors";
import { parseManifest } from "@secai/formats/manifest";
import { ociIndexShape, parseOciDocument } from "@secai/formats/oci";
import { MANIFEST_FILE, OCI_INDEX_FILE } from "@secai/formats/release-layout";
import { compareVersions } from "@secai/formats/version-order";
import {
  checkDeployment,
  type Deployments,
  parseDeployments,
  repositoryOf,
  rollbackCommand,
  rootHashOf,
  type Slot,
  stageCommand,
} from "../deployment.ts";
import { DeploymentError } from "../deployment-errors.ts";
import { pinnedStatementKeys } from "../enrolment.ts";
import { createLog, errorFields } from "../log.ts";
import { trustedStatement } from "../release-statement.ts";
import { dropStatements, type Kept, placeStatement } from "../statement-store.ts";

// secai-update booted                                      is the booted deployment ours?
// secai-update stage DIR --key-manifest FILE [--apply]     stages the release of a directory that the verifier accepts
// secai-update rollback [--apply]                          goes back to the deployment before, if that is ours
//
// Without --apply it says what it would do. Nothing it does takes effect before the next boot. A machine whose enrolment pins statement keys
// gets the release's statement before the release: without it the machine would not be attested after the restart.

/** All sealed in the image. */
const POLICY = "/etc/containers/policy.json";
const VERIFIER = "/usr/libexec/secure-ai/secai-verify.mjs";
const OS_RELEASE = "/usr/lib/os-release";
const COMMAND_LINE = "/proc/cmdline";
/** Where the attestor looks, too: its TPM_PROFILE_DIR and STATEMENTS_DIR. */
const PROFILE = "/var/lib/secure-ai/tpm-attestation/profile.json";
const STATEMENTS = "/var/lib/secure-ai/tpm-attestation/statements";
const ENVIRONMENT = { PATH: "/usr/sbin:/usr/bin", LC_ALL: "C.UTF-8" };
/** Milliseconds. A pull of a whole image over a slow line takes an hour; a status takes a second. */
const PULL_LIMIT_MS = 4 * 3_600_000;
const STATUS_LIMIT_MS = 60_000;
const VERIFY_LIMIT_MS = 3_600_000;
const MAX_OUTPUT_BYTES = 4 << 20;

const log = createLog("secai-update");

interface Result {
  readonly status: number | null;
  readonly stdout: string;
  readonly said: string;
}

function run([command = "", ...args]: readonly string[], limitMs: number): Result {
  const options = { env: ENVIRONMENT, timeout: limitMs, maxBuffer: MAX_OUTPUT_BYTES, encoding: "utf8" } as const;
  const { status, stdout, stderr, error } = spawnSync(command, args, { ...options, stdio: ["ignore", "pipe", "pipe"] });
  return { status, stdout: stdout ?? "", said: `${error?.message ?? ""}${stderr ?? ""}`.trim().slice(-500) };
}

function deployments(): Deployments {
  const { status, stdout, said } = run(["bootc", "status", "--format=json"], STATUS_LIMIT_MS);
  if (status !== 0)
    throw new DeploymentError("DEPLOYMENT_STATUS", { expected: "bootc status to succeed", actual: `status ${status}: ${said}` });
  return parseDeployments(stdout);
}

const repository = (): string => repositoryOf(readFileSync(POLICY, "utf8"));

/** @throws DeploymentError when the machine has no such deployment, or one that is not ours */
function checked(slot: Slot, all: Deployments): string {
  const deployment = all[slot];
  if (deployment === undefined)
    throw new DeploymentError("DEPLOYMENT_STATUS", { expected: `a ${slot} deployment`, actual: "none" });
  checkDeployment(deployment, repository());
  return deployment.reference;
}

/** os-release(5) of the booted image. No version is older than every release. */
const bootedVersion = (): string => /^IMAGE_VERSION="?([A-Za-z0-9._~^+-]+)"?$/m.exec(readFileSync(OS_RELEASE, "utf8"))?.[1] ?? "";

/** The verifier's own word on the directory, by the keys that the operator brought; its report goes to standard error. */
function requireAccepted(directory: string, keyManifest: string): void {
  const { status, said } = run(
    [process.execPath, VERIFIER, "release", directory, "--key-manifest", keyManifest, "--json"],
    VERIFY_LIMIT_MS,
  );
  if (status !== 0)
    throw new DeploymentError("UPDATE_RELEASE_REFUSED", {
      expected: "exit status 0 of the verifier",
      actual: `${status}: ${said}`,
    });
}

interface Release {
  readonly version: string;
  readonly digest: string;
  readonly rootHash: string;
}

/** What the accepted directory says: its version, its root hash, and the digest of its container image. */
function readRelease(directory: string): Release {
  const manifest = parseManifest(readFileSync(join(directory, MANIFEST_FILE)));
  const absent = (actual: string) =>
    new DeploymentError("UPDATE_IMAGE_ABSENT", { expected: `one image in ${OCI_INDEX_FILE}`, actual });
  const listed = manifest.files.find(({ name }) => name === OCI_INDEX_FILE);
  if (listed === undefined) throw absent("no such file");
  const index = readFileSync(join(directory, OCI_INDEX_FILE));
  // Read once, and only if these are the bytes that were accepted.
  if (sha256(index) !== listed.sha256) throw absent("other bytes than the manifest's");
  const [only, ...more] = parseOciDocument(ociIndexShape, index, "an image index").manifests;
  if (only === undefined || more.length > 0) throw absent(`${more.length + 1} images`);
  return { version: manifest.tag, digest: only.digest, rootHash: manifest.image.root_hash };
}

function perform(command: readonly string[], apply: boolean): void {
  if (!apply) {
    process.stdout.write(`${command.join(" ")}\n`);
    log("info", "nothing was changed: --apply runs this command", { command: command.join(" ") });
    return;
  }
  const { status, said } = run(command, PULL_LIMIT_MS);
  if (status !== 0)
    throw new DeploymentError("UPDATE_COMMAND_FAILED", { expected: command.join(" "), actual: `status ${status}: ${said}` });
  log("info", "done; it takes effect at the next boot", { command: command.join(" ") });
}

/** What an enrolled machine needs before it may boot the release, and what it still needs besides; undefined where nothing is pinned. */
interface Needed {
  readonly statement: Buffer;
  readonly kept: Kept;
}

/** Changes nothing: whatever is refused is refused here. */
async function neededFor(directory: string, { rootHash, digest }: Release): Promise<Needed | undefined> {
  const keys = await pinnedStatementKeys(PROFILE);
  if (keys.length === 0) return undefined;
  const statement = await trustedStatement(directory, rootHash, keys);
  const running = rootHashOf(readFileSync(COMMAND_LINE, "latin1"));
  if (running === undefined)
    throw new DeploymentError("UPDATE_ROOT_UNKNOWN", { expected: `one roothash= in ${COMMAND_LINE}`, actual: "none or two" });
  const { booted, staged, rollback } = deployments();
  if (booted === undefined) throw new DeploymentError("DEPLOYMENT_STATUS", { expected: "a booted deployment", actual: "none" });
  const others = [staged, rollback].flatMap((one) => (one === undefined ? [] : [one.digest]));
  return { statement, kept: { running: { rootHash: running, digest: booted.digest }, next: { rootHash, digest }, others } };
}

async function stage(directory: string, keyManifest: string, apply: boolean): Promise<void> {
  requireAccepted(directory, keyManifest);
  const release = readRelease(directory);
  const version = bootedVersion();
  if (compareVersions(release.version, version) <= 0)
    throw new DeploymentError("UPDATE_NOT_NEWER", { expected: `newer than ${version}`, actual: release.version });
  const needed = await neededFor(directory, release);
  if (needed !== undefined && apply) await placeStatement(STATEMENTS, needed.statement, needed.kept);
  if (needed !== undefined) log("info", apply ? "statement placed" : "a statement goes first", { rootHash: release.rootHash });
  perform(stageCommand(repository(), release.digest), apply);
  if (needed !== undefined && apply) await dropSuperseded(needed.kept);
}

/** What was staged before is not any more. A statement too many takes nothing from what was just done, and the next staging sees it. */
async function dropSuperseded(kept: Kept): Promise<void> {
  try {
    const { rollback } = deployments();
    await dropStatements(STATEMENTS, { ...kept, others: rollback === undefined ? [] : [rollback.digest] });
  } catch (error) {
    log("warning", "statements of superseded releases are still there", errorFields(error));
  }
}

function usage(actual: string): DeploymentError {
  return new DeploymentError("UPDATE_USAGE", {
    expected: "booted, stage DIR --key-manifest FILE [--apply] or rollback [--apply]",
    actual,
  });
}

async function main(args: string[]): Promise<void> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: { apply: { type: "boolean", default: false }, "key-manifest": { type: "string" } },
  });
  const [verb, directory, ...rest] = positionals;
  const keyManifest = values["key-manifest"];
  if (verb === "booted" && directory === undefined && !values.apply)
    log("info", "the booted deployment is ours", { reference: checked("booted", deployments()) });
  else if (verb === "stage" && directory !== undefined && rest.length === 0 && keyManifest !== undefined)
    await stage(directory, keyManifest, values.apply);
  else if (verb === "rollback" && directory === undefined) {
    checked("rollback", deployments());
    perform(rollbackCommand, values.apply);
  } else throw usage(args.join(" ") || "nothing");
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  const foreseen = error instanceof CodedError || !(error instanceof TypeError) ? error : usage(error.message);
  log("error", "SECAI-UPDATE-REFUSED", errorFields(foreseen));
  process.exitCode = foreseen instanceof CodedError ? foreseen.exit : 70;
}
