import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

// A GitHub REST API on loopback that does what the real one does, as far as its documentation and its answers show: drafts are not found
// by tag, lists come in pages, uploads need a length, a name is given once, a broken upload leaves a "starter", assets are read through a
// redirect to a storage host that refuses a token.

export interface StoredAsset {
  readonly id: number;
  readonly name: string;
  content: Buffer;
  state: "uploaded" | "starter";
}
export interface StoredRelease {
  readonly id: number;
  readonly tag_name: string;
  draft: boolean;
  readonly prerelease: boolean;
  readonly body: string;
  readonly assets: StoredAsset[];
}

export interface Call {
  readonly method: string;
  readonly path: string;
}

/** What goes wrong with one request instead of its answer. */
export type Fault =
  | {
      readonly kind: "status";
      readonly status: number;
      readonly headers?: Readonly<Record<string, string>>;
      readonly message?: string;
    }
  /** The connection breaks after this many bytes of an upload; what is left is a starter. */
  | { readonly kind: "break"; readonly afterBytes: number }
  /** Everything is stored, the answer is lost. */
  | { readonly kind: "lose-answer" }
  /** What is stored is not what was sent. */
  | { readonly kind: "corrupt" };

export interface GithubServer extends AsyncDisposable {
  readonly url: string;
  readonly releases: StoredRelease[];
  readonly calls: Call[];
  /** Asked before each request. */
  fault: (call: Call, nth: number) => Fault | undefined;
  /** Whether assets carry a digest, as they do since 2025. */
  digests: boolean;
  /** The template's origin, when it is not the server's own. */
  uploadOrigin: string | undefined;
}

export const TOKEN = "ghp_throwaway0123456789";
const PAGE = 3;

export async function githubServer(): Promise<GithubServer> {
  const storage = createServer((request, response) => answerStorage(state, request, response));
  const server = createServer((request, response) => {
    void answer(state, request, response).catch((error: Error) => send(response, 500, { message: error.message }));
  });
  const [url, storageUrl] = [await listen(server), await listen(storage)];
  const state: State = {
    url,
    storageUrl,
    releases: [],
    calls: [],
    fault: () => undefined,
    digests: true,
    uploadOrigin: undefined,
    nextId: 1,
    [Symbol.asyncDispose]: async () => {
      for (const one of [server, storage]) one.closeAllConnections();
      await Promise.all([server, storage].map((one) => new Promise((done) => one.close(done))));
    },
  };
  return state;
}

interface State extends GithubServer {
  readonly storageUrl: string;
  nextId: number;
}

async function listen(server: Server): Promise<string> {
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function send(response: ServerResponse, status: number, body: unknown, headers: Readonly<Record<string, string>> = {}): void {
  response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));
}

async function answer(state: State, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? "/", state.url);
  const call = {
    method: request.method ?? "",
    path: url.pathname + (url.searchParams.has("name") ? `?name=${url.searchParams.get("name")}` : ""),
  };
  state.calls.push(call);
  const same = state.calls.filter((one) => one.method === call.method && one.path === call.path).length;
  const fault = state.fault(call, same);
  if (request.headers.authorization !== `token ${TOKEN}`)
    return drain(request, () => send(response, 401, { message: "Bad credentials" }));
  if (fault?.kind === "status")
    return drain(request, () => send(response, fault.status, { message: fault.message ?? "injected" }, fault.headers));
  const [, where, id] = /^\/repos\/o\/r\/releases(?:\/(assets\/)?(\d+))?(?:\/assets)?$/.exec(url.pathname) ?? [];
  const release = state.releases.find((one) => one.id === Number(id));
  switch (`${call.method} ${url.pathname.replace(/\d+/, "N")}`) {
    case "GET /repos/o/r/releases":
      return page(
        state,
        url,
        response,
        state.releases.map((one) => shown(state, one)),
      );
    case "POST /repos/o/r/releases":
      return create(state, await bodyOf(request), response);
    case "PATCH /repos/o/r/releases/N":
      if (release === undefined) break;
      release.draft = (JSON.parse((await bodyOf(request)).toString()) as { draft: boolean }).draft;
      return send(response, 200, shown(state, release));
    case "GET /repos/o/r/releases/N/assets":
      if (release === undefined) break;
      return page(
        state,
        url,
        response,
        release.assets.map((asset) => shownAsset(state, asset)),
      );
    case "GET /repos/o/r/releases/assets/N":
      return void response.writeHead(302, { location: `${state.storageUrl}/${id}` }).end();
    case "DELETE /repos/o/r/releases/assets/N":
      for (const one of state.releases) {
        const at = one.assets.findIndex((asset) => asset.id === Number(id));
        if (at >= 0) one.assets.splice(at, 1);
      }
      return void response.writeHead(204).end();
  }
  const upload = /^\/upload\/(\d+)\/assets$/.exec(url.pathname);
  const target = state.releases.find((one) => one.id === Number(upload?.[1]));
  if (target !== undefined && call.method === "POST") return await takeUpload({ state, target, fault, request, response, url });
  drain(request, () => send(response, 404, { message: `Not Found ${where ?? ""}` }));
}

interface UploadRequest {
  readonly state: State;
  readonly target: StoredRelease;
  readonly fault: Fault | undefined;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly url: URL;
}

async function takeUpload({ state, target, fault, request, response, url }: UploadRequest): Promise<void> {
  // GitHub writes names with other characters its own way.
  const name = (url.searchParams.get("name") ?? "").replaceAll(/[^A-Za-z0-9._-]/g, ".");
  if (request.headers["content-length"] === undefined)
    return drain(request, () => send(response, 400, { message: "Bad Content-Length" }));
  if (target.assets.some((asset) => asset.name === name))
    return drain(request, () => send(response, 422, { message: "Validation Failed", errors: [{ code: "already_exists" }] }));
  const asset: StoredAsset = { id: state.nextId++, name, content: Buffer.alloc(0), state: "starter" };
  target.assets.push(asset);
  const limit = fault?.kind === "break" ? fault.afterBytes : Number.POSITIVE_INFINITY;
  const content = await bodyOf(request, limit);
  if (fault?.kind === "break") return void request.socket.destroy();
  asset.content = content;
  asset.state = "uploaded";
  if (fault?.kind === "corrupt") asset.content = Buffer.alloc(content.length);
  if (fault?.kind === "lose-answer") return void request.socket.destroy();
  send(response, 201, shownAsset(state, asset));
}

function create(state: State, body: Buffer, response: ServerResponse): void {
  const given = JSON.parse(body.toString()) as Pick<StoredRelease, "tag_name" | "draft" | "prerelease" | "body">;
  const release: StoredRelease = { id: state.nextId++, assets: [], ...given };
  state.releases.push(release);
  send(response, 201, shown(state, release));
}

const shown = (state: State, { id, tag_name, draft, prerelease, body }: StoredRelease) => ({
  id,
  tag_name,
  draft,
  prerelease,
  body,
  upload_url: `${state.uploadOrigin ?? state.url}/upload/${id}/assets{?name,label}`,
  html_url: `https://github.example/o/r/releases/${id}`,
});

const shownAsset = (state: State, { id, name, content, state: condition }: StoredAsset) => ({
  id,
  name,
  size: content.length,
  state: condition,
  digest: state.digests && condition === "uploaded" ? `sha256:${createHash("sha256").update(content).digest("hex")}` : null,
});

/** Never more than PAGE at once, so that whoever reads only the first page is found out. */
function page(state: State, url: URL, response: ServerResponse, all: readonly unknown[]): void {
  const number = Number(url.searchParams.get("page") ?? "1");
  const next = new URL(url);
  next.searchParams.set("page", `${number + 1}`);
  const more: Record<string, string> = number * PAGE < all.length ? { link: `<${next.href}>; rel="next"` } : {};
  send(response, 200, all.slice((number - 1) * PAGE, number * PAGE), {
    ...more,
    "x-ratelimit-remaining": `${5000 - state.calls.length}`,
  });
}

function answerStorage(state: State, request: IncomingMessage, response: ServerResponse): void {
  const asset = state.releases.flatMap(({ assets }) => assets).find(({ id }) => `/${id}` === request.url);
  if (request.headers.authorization !== undefined) send(response, 400, { message: "Only one auth mechanism allowed" });
  else if (asset === undefined) send(response, 404, {});
  else response.writeHead(200, { "content-type": "application/octet-stream" }).end(asset.content);
}

function drain(request: IncomingMessage, done: () => void): void {
  request.resume().on("end", done);
}

async function bodyOf(request: IncomingMessage, limit = Number.POSITIVE_INFINITY): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    size += chunk.length;
    if (size >= limit) break;
  }
  return Buffer.concat(chunks);
}
