import { createHash } from "node:crypto";
import type { ReadableStream } from "node:stream/web";
import { Octokit } from "octokit";
import { PublishError } from "./errors.ts";
import { type RetryClock, withRetry } from "./retry.ts";

export interface Repository {
  readonly owner: string;
  readonly repo: string;
}

export interface RemoteRelease {
  readonly id: number;
  readonly tag: string;
  readonly draft: boolean;
  readonly uploadUrl: string;
  readonly address: string;
}

export interface RemoteAsset {
  readonly id: number;
  readonly name: string;
  readonly size: number;
  /** False for what an upload that broke off leaves behind: a name without content. */
  readonly complete: boolean;
  /** "sha256:<hex>" where GitHub computed it. */
  readonly digest: string | undefined;
}

export interface NewRelease {
  readonly tag: string;
  readonly name: string;
  readonly body: string;
  readonly prerelease: boolean;
  readonly commit?: string;
}

/** The calls of the GitHub REST API that publishing needs. Each is retried; each failure is a PublishError. */
export interface GithubApi {
  findReleases(tag: string): Promise<readonly RemoteRelease[]>;
  createDraft(release: NewRelease): Promise<RemoteRelease>;
  listAssets(release: RemoteRelease): Promise<readonly RemoteAsset[]>;
  /** One attempt: what has to happen between two attempts is the caller's matter. */
  uploadAsset(release: RemoteRelease, name: string, size: number, body: ReadableStream): Promise<RemoteAsset>;
  /** Only for assets that are not complete. */
  removeUnfinished(asset: RemoteAsset): Promise<void>;
  hashAsset(asset: RemoteAsset): Promise<{ readonly sha256: string; readonly size: number }>;
  publish(release: RemoteRelease): Promise<RemoteRelease>;
}

export interface GithubOptions {
  /** "https://api.github.com", a GitHub Enterprise server's ".../api/v3", or a loopback address. */
  readonly baseUrl: string;
  readonly token: string;
  readonly clock: RetryClock;
}

interface ReleaseAnswer {
  readonly id: number;
  readonly tag_name: string;
  readonly draft: boolean;
  readonly upload_url: string;
  readonly html_url: string;
}
interface AssetAnswer {
  readonly id: number;
  readonly name: string;
  readonly size: number;
  readonly state: string;
  readonly digest?: string | null;
}

const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

/** @throws PublishError PUBLISH_USAGE for an address that is neither https nor loopback */
export function createGithubApi({ owner, repo }: Repository, { baseUrl, token, clock }: GithubOptions): GithubApi {
  requireSafe(baseUrl);
  // Retries are ours: the plugins wait by a clock that no test can turn, and cannot repeat a streamed body.
  const octokit = new Octokit({ baseUrl, auth: token, log: silent, throttle: { enabled: false }, retry: { enabled: false } });
  const request = clock.signal === undefined ? {} : { signal: clock.signal };
  const repository = { owner, repo, request };
  const call = <T>(what: string, operation: () => Promise<T>) => named(what, withRetry(what, operation, clock));
  return {
    findReleases: (tag) =>
      call("list releases", async () => {
        const all = await octokit.paginate(octokit.rest.repos.listReleases, { ...repository, per_page: 100 });
        return all.filter(({ tag_name }) => tag_name === tag).map(releaseOf);
      }),
    createDraft: ({ tag, name, body, prerelease, commit }) =>
      call("create a draft release", async () => {
        const target = commit === undefined ? {} : { target_commitish: commit };
        const given = { ...repository, ...target, tag_name: tag, name, body, prerelease, draft: true };
        return releaseOf((await octokit.rest.repos.createRelease(given)).data);
      }),
    listAssets: ({ id }) =>
      call("list assets", async () => {
        const given = { ...repository, release_id: id, per_page: 100 };
        return (await octokit.paginate(octokit.rest.repos.listReleaseAssets, given)).map(assetOf);
      }),
    uploadAsset: async ({ uploadUrl }, name, size, body) => {
      const url = uploadAddress(uploadUrl, baseUrl, name);
      const headers = { "content-type": "application/octet-stream", "content-length": `${size}` };
      return assetOf((await octokit.request({ method: "POST", url, data: body, headers, request })).data as AssetAnswer);
    },
    removeUnfinished: ({ id }) =>
      call("remove an unfinished upload", async () => {
        await octokit.rest.repos.deleteReleaseAsset({ ...repository, asset_id: id });
      }),
    hashAsset: ({ id }) =>
      call("read an asset back", async () => {
        const answer = await octokit.request("GET /repos/{owner}/{repo}/releases/assets/{asset_id}", {
          owner,
          repo,
          asset_id: id,
          headers: { accept: "application/octet-stream" },
          request: { ...request, parseSuccessResponseBody: false },
        });
        return await hashStream(answer.data as unknown as ReadableStream<Uint8Array>);
      }),
    publish: ({ id }) =>
      call("publish the draft", async () => {
        return releaseOf((await octokit.rest.repos.updateRelease({ ...repository, release_id: id, draft: false })).data);
      }),
  };
}

const releaseOf = (answer: ReleaseAnswer): RemoteRelease => ({
  id: answer.id,
  tag: answer.tag_name,
  draft: answer.draft,
  uploadUrl: answer.upload_url,
  address: answer.html_url,
});

const assetOf = ({ id, name, size, state, digest }: AssetAnswer): RemoteAsset => ({
  id,
  name,
  size,
  complete: state === "uploaded",
  digest: digest ?? undefined,
});

async function hashStream(stream: ReadableStream<Uint8Array>): Promise<{ readonly sha256: string; readonly size: number }> {
  const hash = createHash("sha256");
  let size = 0;
  for await (const chunk of stream) {
    hash.update(chunk);
    size += chunk.length;
  }
  return { sha256: hash.digest("hex"), size };
}

const isLoopback = ({ hostname }: URL) =>
  hostname === "localhost" || hostname === "[::1]" || /^127\.\d+\.\d+\.\d+$/.test(hostname);

function requireSafe(address: string): void {
  const url = URL.parse(address);
  if (url === null || !(url.protocol === "https:" || (url.protocol === "http:" && isLoopback(url))))
    throw new PublishError("PUBLISH_USAGE", { expected: "an https address for --github-api", actual: address });
}

/**
 * Where to upload: the answer's `upload_url` is a template (RFC 6570) such as ".../assets{?name,label}". The token goes with the request,
 * so only GitHub's own upload host or the host that was asked may be meant.
 * @throws PublishError PUBLISH_UPLOAD_URL_FOREIGN
 */
export function uploadAddress(template: string, baseUrl: string, name: string): string {
  const url = URL.parse(template.replace(/\{[^}]*\}$/, ""));
  const base = new URL(baseUrl);
  const hosted = base.origin === "https://api.github.com" ? "https://uploads.github.com" : base.origin;
  if (url === null || (url.origin !== base.origin && url.origin !== hosted))
    throw new PublishError("PUBLISH_UPLOAD_URL_FOREIGN", { expected: hosted, actual: url?.origin ?? "no address" });
  url.searchParams.set("name", name);
  return url.href;
}

/** An answer that is no reason to try again, as an error of ours. GitHub's message is for people; it never holds the token. */
export async function named<T>(what: string, result: Promise<T>): Promise<T> {
  try {
    return await result;
  } catch (cause) {
    if (cause instanceof PublishError) throw cause;
    const { status, message } = Object(cause) as { status?: unknown; message?: unknown };
    if (typeof status !== "number") throw cause;
    const code = status === 401 || status === 403 || status === 404 ? "PUBLISH_NOT_ALLOWED" : "PUBLISH_REFUSED";
    throw new PublishError(code, { expected: what, actual: `${status} ${String(message)}`, cause });
  }
}
