import { Readable } from "node:stream";
import type { ReadableStream } from "node:stream/web";
import { assetNameOf } from "./asset-name.ts";
import type { ReleaseFile } from "./contents.ts";
import { readHashed, type Watch } from "./copy.ts";
import { PublishError } from "./errors.ts";
import { type GithubApi, type NewRelease, named, type RemoteAsset, type RemoteRelease } from "./github-api.ts";
import type { Outcome } from "./outcome.ts";
import { type RetryClock, withRetry } from "./retry.ts";

/** "Each file included in a release must be under 2 GiB" (GitHub Docs, About releases). */
export const MAX_ASSET_BYTES = 2 ** 31 - 1;
/** "up to 1000 release assets" (same page). */
export const MAX_ASSETS = 1000;

export interface GithubPublication {
  readonly files: readonly ReleaseFile[];
  readonly release: NewRelease;
  /** Make the draft public once everything is there. */
  readonly publish: boolean;
  readonly say: (text: string) => void;
  readonly watch: Watch;
}

/**
 * Names and sizes as GitHub takes them; told before anything is sent.
 * @throws PublishError PUBLISH_FILE_TOO_LARGE, PUBLISH_NAME_AMBIGUOUS
 */
export function planAssets(files: readonly ReleaseFile[]): ReadonlyMap<string, ReleaseFile> {
  const tooLarge = files.find(({ size }) => size > MAX_ASSET_BYTES);
  if (tooLarge !== undefined)
    throw new PublishError("PUBLISH_FILE_TOO_LARGE", {
      expected: `at most ${MAX_ASSET_BYTES} bytes`,
      actual: `${tooLarge.name}: ${tooLarge.size}`,
    });
  if (files.length > MAX_ASSETS)
    throw new PublishError("PUBLISH_FILE_TOO_LARGE", { expected: `at most ${MAX_ASSETS} files`, actual: `${files.length}` });
  return new Map(files.map((file) => [assetNameOf(file.name), file]));
}

/**
 * Brings a draft release to hold exactly these files, whatever an earlier run left, and only then makes it public if asked. What is
 * there under the right digest stays; what is there under another stops everything.
 * @throws PublishError
 */
export async function publishGithub(api: GithubApi, publication: GithubPublication, clock: RetryClock): Promise<Outcome> {
  const assets = planAssets(publication.files);
  const release = await findOrCreate(api, publication);
  const present = await presentAssets(api, release, assets);
  const missing = [...assets].filter(([name]) => !present.has(name));
  if (!release.draft && missing.length > 0)
    throw new PublishError("PUBLISH_ALREADY_PUBLISHED", {
      expected: "every file",
      actual: `${missing.length} missing, e.g. ${missing[0]?.[0]}`,
    });
  for (const [name, file] of missing) await upload({ api, release, name, file, publication, clock });
  requireComplete(assets, await presentAssets(api, release, assets));
  const final = publication.publish && release.draft ? await api.publish(release) : release;
  return {
    done: missing.map(([, { name }]) => name),
    present: [...present.values()].map(({ name }) => name),
    address: final.address,
    draft: final.draft,
  };
}

async function findOrCreate(api: GithubApi, { release, say }: GithubPublication): Promise<RemoteRelease> {
  const [found, ...more] = await api.findReleases(release.tag);
  if (more.length > 0)
    throw new PublishError("PUBLISH_RELEASE_AMBIGUOUS", {
      expected: `one release for ${release.tag}`,
      actual: `${more.length + 1}`,
    });
  say(
    found === undefined
      ? `creating a draft for ${release.tag}\n`
      : `going on with the ${found.draft ? "draft" : "release"} ${release.tag}\n`,
  );
  return found ?? (await api.createDraft(release));
}

/** Files that are there already, by asset name, each compared; remains of broken uploads are cleared away from drafts. */
async function presentAssets(
  api: GithubApi,
  release: RemoteRelease,
  wanted: ReadonlyMap<string, ReleaseFile>,
): Promise<ReadonlyMap<string, ReleaseFile>> {
  const present = new Map<string, ReleaseFile>();
  for (const asset of await api.listAssets(release)) {
    const file = wanted.get(asset.name);
    if (file === undefined)
      throw new PublishError("PUBLISH_ASSET_FOREIGN", { expected: "files of this release", actual: asset.name });
    if (!asset.complete) {
      if (release.draft) await api.removeUnfinished(asset);
      continue;
    }
    await requireSame(api, asset, file);
    present.set(asset.name, file);
  }
  return present;
}

/** GitHub's own digest where it has one, else that of the bytes it gives back. @throws PublishError PUBLISH_ASSET_DIFFERS */
async function requireSame(api: GithubApi, asset: RemoteAsset, { name, size, sha256 }: ReleaseFile): Promise<void> {
  const actual = asset.digest ?? (await api.hashAsset(asset).then((read) => `sha256:${read.sha256}`));
  if (asset.size !== size || actual !== `sha256:${sha256}`)
    throw new PublishError("PUBLISH_ASSET_DIFFERS", {
      expected: `${name}: ${size} bytes, sha256:${sha256}`,
      actual: `${asset.name}: ${asset.size} bytes, ${actual}`,
    });
}

interface Upload {
  readonly api: GithubApi;
  readonly release: RemoteRelease;
  readonly name: string;
  readonly file: ReleaseFile;
  readonly publication: GithubPublication;
  readonly clock: RetryClock;
}

/** Each attempt looks first at what the one before left: nothing, a name without content, or the whole file and a lost answer. */
async function upload(one: Upload): Promise<void> {
  const { name, file, publication, clock } = one;
  publication.say(`uploading ${file.name}\n`);
  let attempt = 0;
  await named(
    `upload ${name}`,
    withRetry(
      `upload ${name}`,
      async () => {
        attempt += 1;
        if (attempt > 1 && (await settled(one))) return;
        await attemptUpload(one);
      },
      clock,
    ),
  );
}

async function attemptUpload({ api, release, name, file, publication }: Upload): Promise<void> {
  const failure: { error?: unknown } = {};
  const body = Readable.toWeb(Readable.from(bodyOf(file, publication, failure), { objectMode: false })) as ReadableStream;
  try {
    const asset = await api.uploadAsset(release, name, file.size, body);
    if (asset.name !== name) throw new PublishError("PUBLISH_ASSET_FOREIGN", { expected: name, actual: asset.name });
    await requireSame(api, asset, file);
  } catch (error) {
    // A file that changed breaks the request off; the reason is ours, not the network's.
    if (failure.error !== undefined) throw failure.error;
    // "already_exists": an earlier attempt got through although its answer did not.
    if ((Object(error) as { status?: unknown }).status !== 422 || !(await settled({ api, release, name, file }))) throw error;
  }
}

async function* bodyOf(file: ReleaseFile, { watch }: GithubPublication, failure: { error?: unknown }): AsyncIterable<Buffer> {
  try {
    for await (const { chunk, done } of readHashed(file.path, file)) {
      yield chunk;
      watch(file, done);
    }
  } catch (error) {
    failure.error = error;
    throw error;
  }
}

/** Whether the asset is there and right. A remainder without content is cleared away. @throws PublishError PUBLISH_ASSET_DIFFERS */
async function settled({ api, release, name, file }: Pick<Upload, "api" | "release" | "name" | "file">): Promise<boolean> {
  const asset = (await api.listAssets(release)).find((candidate) => candidate.name === name);
  if (asset === undefined) return false;
  if (!asset.complete) {
    await api.removeUnfinished(asset);
    return false;
  }
  await requireSame(api, asset, file);
  return true;
}

function requireComplete(wanted: ReadonlyMap<string, ReleaseFile>, present: ReadonlyMap<string, ReleaseFile>): void {
  const missing = [...wanted.keys()].find((name) => !present.has(name));
  if (missing !== undefined)
    throw new PublishError("PUBLISH_UNAVAILABLE", { expected: `${missing} among the assets`, actual: "not there" });
}
