import { setTimeout as sleep } from "node:timers/promises";
import type { Manifest } from "@secai/formats/manifest";
import { parseArguments } from "../arguments.ts";
import { readManifest, requireVerified, TRUST_HELP, trustOptions } from "../gate/gate.ts";
import { progressLine, type ReleaseIo, sizeText } from "../gate/io.ts";
import { assetNameOf } from "./asset-name.ts";
import { listContents, type ReleaseFile } from "./contents.ts";
import type { Watch } from "./copy.ts";
import { publishDirectory } from "./directory.ts";
import { PublishError } from "./errors.ts";
import { planAssets, publishGithub } from "./github.ts";
import { createGithubApi, type NewRelease, type Repository } from "./github-api.ts";
import { publishLayout } from "./oci-layout.ts";
import type { Outcome } from "./outcome.ts";
import { restoreRelease } from "./restore.ts";
import type { RetryClock } from "./retry.ts";
import { type PublishTarget, parseRestoreSource, parseTarget } from "./target.ts";
import { loadToken } from "./token.ts";

export const PUBLISH_HELP = `secai release publish DIR --to TARGET: hand a verified release on.
secai release publish --restore SOURCE OUT: make a release directory of what was published.

Without --apply everything is checked and said, and nothing is written or sent.
  --to github:OWNER/REPO   a draft release; runs that stopped go on where they were; nothing is overwritten
  --to dir:PATH            a copy that appears whole or not at all
  --to oci-layout:PATH     an OCI artifact, for registries and machines without a network
  --apply                  do it
  --publish                GitHub: make the draft public when every file is there and was compared
  --tag TAG                GitHub: instead of RECIPE-VERSION
  --allow-dev              GitHub: even a development release
  --token-fd N             read the token from this open file instead of GITHUB_TOKEN
  --github-api URL         a GitHub Enterprise server's API, e.g. https://github.example/api/v3
  --restore SOURCE         assets:DIR (downloaded from GitHub, flat) or oci-layout:DIR; verified before OUT appears
  --json                   the result on standard output
  --help
${TRUST_HELP}

Examples:
  secai release publish out/debian-13/0.1.0 --to dir:/media/usb/secai-0.1.0 --apply
  secai release publish ./secai-1.2.0 --to github:example/secai --key release.pub --apply --publish
  secai release publish --restore assets:Downloads secai-1.2.0 --key release.pub --apply
`;

const options = {
  ...trustOptions,
  to: { type: "string" },
  restore: { type: "string" },
  apply: { type: "boolean" },
  publish: { type: "boolean" },
  tag: { type: "string" },
  "allow-dev": { type: "boolean" },
  "token-fd": { type: "string" },
  "github-api": { type: "string" },
  json: { type: "boolean" },
  help: { type: "boolean", short: "h" },
} as const;
type Values = ReturnType<typeof parse>["values"];

/** The parts of a clock that tests replace. */
export type PublishClock = Pick<RetryClock, "now" | "sleep">;
const realClock: PublishClock = {
  now: Date.now,
  sleep: async (ms, signal) => {
    await sleep(ms, undefined, signal === undefined ? {} : { signal });
  },
};

/** The `release publish` command. @throws PublishError, GateError, FormatError */
export async function runPublish(args: readonly string[], io: ReleaseIo, clock: PublishClock = realClock): Promise<number> {
  const { values, positionals } = parse(args);
  if (values.help === true) {
    io.stdout(PUBLISH_HELP);
    return 0;
  }
  const [dir, ...more] = positionals;
  if (dir === undefined || more.length > 0)
    throw new PublishError("PUBLISH_USAGE", { expected: "one directory", actual: `${positionals.length}` });
  if (values.restore !== undefined) return await restore(values.restore, dir, values, io);
  return await publish(dir, parseTarget(values.to), values, io, clock);
}

function parse(args: readonly string[]) {
  return parseArguments(args, options, (detail) => new PublishError("PUBLISH_USAGE", detail));
}

async function restore(source: string, out: string, values: Values, io: ReleaseIo): Promise<number> {
  const keep = values.apply === true;
  const verify = (dir: string) => requireVerified(dir, values, io.env);
  const files = await restoreRelease(parseRestoreSource(source), out, verify, { keep, watch: watchFor(io) });
  const human = keep ? `${out}: ${files.length} files, verified\n` : `${files.length} files verify; add --apply to make ${out}\n`;
  return print({ schema: 1, restored: keep, out, files }, human, values, io);
}

async function publish(dir: string, target: PublishTarget, values: Values, io: ReleaseIo, clock: PublishClock): Promise<number> {
  io.stderr(`verifying ${dir}\n`);
  await requireVerified(dir, values, io.env);
  const release = await readManifest(dir);
  if (target.kind === "github") requirePublic(release, values);
  const files = await listContents(dir, release);
  if (target.kind === "github") planAssets(files);
  if (values.apply !== true) return sayPlan(files, target, values, io);
  const outcome = await carryOut({ files, release, target, values, io, clock });
  const where = outcome.address ?? targetText(target);
  const state = outcome.draft === true ? " (a draft; --publish makes it public)" : "";
  const human = `${where}: ${outcome.done.length} files written, ${outcome.present.length} were there already${state}\n`;
  return print({ schema: 1, applied: true, target: targetText(target), ...outcome }, human, values, io);
}

function requirePublic({ designation }: Manifest, values: Values): void {
  if (designation === "dev" && values["allow-dev"] !== true)
    throw new PublishError("PUBLISH_DEV_REFUSED", { expected: "a candidate or stable release", actual: designation });
}

interface Publication {
  readonly files: readonly ReleaseFile[];
  readonly release: Manifest;
  readonly target: PublishTarget;
  readonly values: Values;
  readonly io: ReleaseIo;
  readonly clock: PublishClock;
}

async function carryOut(publication: Publication): Promise<Outcome> {
  const { files, release, target, io } = publication;
  const watch = watchFor(io);
  switch (target.kind) {
    case "dir":
      return await publishDirectory(files, target.path, watch);
    case "oci-layout":
      return await publishLayout(files, release, target.path, watch);
    case "github":
      return await toGithub(publication, target);
  }
}

async function toGithub({ files, release, values, io, clock }: Publication, repository: Repository): Promise<Outcome> {
  const retry: RetryClock = { ...clock, say: io.stderr, ...(io.signal !== undefined && { signal: io.signal }) };
  const api = createGithubApi(repository, {
    baseUrl: values["github-api"] ?? "https://api.github.com",
    token: loadToken(values["token-fd"], io.env),
    clock: retry,
  });
  const publication = {
    files,
    release: newRelease(release, values),
    publish: values.publish === true,
    say: io.stderr,
    watch: watchFor(io),
  };
  return await publishGithub(api, publication, retry);
}

/** What people read on the release's page. Nothing in it can be trusted more than the page; it says so. */
function newRelease(manifest: Manifest, values: Values): NewRelease {
  const { recipe, tag, designation, image, trust_root, build } = manifest;
  const name = `${recipe} ${tag}`;
  const body = [
    `SecAI OS ${name} (${designation}).`,
    "",
    `Image: \`${image.digest}\``,
    `Release key: \`${trust_root.fingerprint}\` (compare it with what you were told elsewhere, not with this page)`,
    "",
    "Names with two underscores stand for folders (`keys__release.pub` is `keys/release.pub`). After downloading all assets into one folder:",
    "",
    "```sh",
    `secai release publish --restore assets:FOLDER ${recipe}-${tag} --fingerprint FINGERPRINT --apply`,
    "```",
  ].join("\n");
  return {
    tag: values.tag ?? `${recipe}-${tag.replaceAll("~", "-")}`,
    name,
    body,
    prerelease: designation !== "stable",
    ...(build.commit_sha !== undefined && { commit: build.commit_sha }),
  };
}

/** Says how far large files are and that small ones are done; ends the work on an interrupt. */
function watchFor({ stderr, signal }: ReleaseIo): Watch {
  let current: { readonly name: string; readonly line: (done: number) => void } | undefined;
  return ({ name, size }, done) => {
    if (signal?.aborted === true) throw new PublishError("PUBLISH_INTERRUPTED");
    if (current?.name !== name) current = { name, line: progressLine(`  ${name}`, size, stderr) };
    if (size > LARGE_BYTES) current.line(done);
    else if (done === size) stderr(`  ${name}\n`);
  };
}

/** From here on a file's progress is worth lines of its own. */
const LARGE_BYTES = 64 << 20;

const targetText = (target: PublishTarget): string =>
  target.kind === "github" ? `github:${target.owner}/${target.repo}` : `${target.kind}:${target.path}`;

function sayPlan(files: readonly ReleaseFile[], target: PublishTarget, values: Values, io: ReleaseIo): number {
  const nameOf = (name: string) => (target.kind === "github" ? assetNameOf(name) : name);
  const rows = files.map(({ name, size, sha256 }) => ({ name, as: nameOf(name), size, sha256 }));
  const total = files.reduce((sum, { size }) => sum + size, 0);
  const lines = rows.map(({ as, size }) => `  ${sizeText(size).padStart(12)}  ${as}\n`).join("");
  const human = `${lines}would publish ${files.length} files, ${sizeText(total)}, to ${targetText(target)}. Nothing was sent; add --apply to do it.\n`;
  return print({ schema: 1, applied: false, target: targetText(target), bytes: total, files: rows }, human, values, io);
}

function print(result: object, human: string, { json }: Values, io: ReleaseIo): number {
  if (json === true) io.stdout(`${JSON.stringify(result, undefined, 2)}\n`);
  (json === true ? io.stderr : io.stdout)(human);
  return 0;
}
