import type http from "node:http";
import { parseJson } from "@secai/formats/canonical-json";
import { FetchError } from "./errors.ts";
import { bodyOf, type GetOptions, type HttpClient } from "./http.ts";

// Anonymous pulls from container registries: https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md, and the token
// protocol of https://distribution.github.io/distribution/spec/auth/token/. No credential is ever sent: only what is public can be had.

/** What may stand behind a tag; a registry that is not told converts, or says that it has nothing. */
const MANIFEST_TYPES = [
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
  "application/vnd.docker.distribution.manifest.v2+json",
].join(", ");

const MAX_TOKEN_BYTES = 64 << 10;
/** RFC 6750 §2.1. */
const TOKEN = /^[A-Za-z0-9._~+/-]+=*$/;
/** Name of a repository as the distribution specification has it. */
const RESOURCE = /\/v2\/([a-z0-9]+(?:[._/-]+[a-z0-9]+)*)\/(manifests|blobs|referrers)\/[^/]+$/;

const refused = (expected: string, actual: string): FetchError =>
  new FetchError("FETCH_REGISTRY_REFUSED", { expected, actual: actual.slice(0, 200) });

interface Challenge {
  readonly realm: URL;
  readonly service: string | undefined;
}

/** `Bearer realm="https://auth.example/token",service="registry.example"`; the scope is ours to say, not the registry's. */
function parseChallenge(header: string | undefined, registry: URL): Challenge {
  const text = header ?? "";
  const parameter = (name: string): string | undefined => new RegExp(`[ ,]${name}="([^"\\\\]{1,512})"`).exec(text)?.[1];
  const realm = /^Bearer /i.test(text) ? URL.parse(parameter("realm") ?? "") : null;
  const isSafe = realm?.protocol === "https:" || (realm?.protocol === "http:" && registry.protocol === "http:");
  if (realm === null || !isSafe) throw refused(`a way to a token of ${registry.host}`, text || "none");
  return { realm, service: parameter("service") };
}

async function fetchToken(
  client: HttpClient,
  { realm, service }: Challenge,
  repository: string,
  signal?: AbortSignal,
): Promise<string> {
  const url = new URL(realm);
  url.searchParams.set("scope", `repository:${repository}:pull`);
  if (service !== undefined) url.searchParams.set("service", service);
  const answer = await client.get(url.href, signal === undefined ? {} : { signal });
  if (answer.statusCode === 401 || answer.statusCode === 403) {
    answer.destroy();
    throw refused(`anonymous pulls of ${repository}`, `status ${answer.statusCode} of ${url.host}`);
  }
  const bytes = await bodyOf(answer, url.href, MAX_TOKEN_BYTES);
  const token = tokenIn(bytes);
  if (token === undefined) throw refused(`a token of ${url.host}`, "another answer");
  return token;
}

function tokenIn(bytes: Buffer | undefined): string | undefined {
  try {
    const answer = parseJson(bytes ?? Buffer.of(), MAX_TOKEN_BYTES) as {
      readonly token?: unknown;
      readonly access_token?: unknown;
    };
    const token = answer.token ?? answer.access_token;
    return typeof token === "string" && TOKEN.test(token) ? token : undefined;
  } catch {
    return undefined;
  }
}

/**
 * A client that gets itself the token which a registry asks for before it answers, one a repository. What is not below /v2/ of a registry goes
 * through unchanged.
 * @throws FetchError FETCH_REGISTRY_REFUSED, and what `client` throws
 */
export function withRegistryTokens(client: HttpClient): HttpClient {
  const tokens = new Map<string, string>();
  const get = async (text: string, options: GetOptions = {}): Promise<http.IncomingMessage> => {
    const url = URL.parse(text);
    const [, repository, kind] = RESOURCE.exec(url?.pathname ?? "") ?? [];
    if (url === null || repository === undefined) return await client.get(text, options);
    const key = `${url.origin} ${repository}`;
    const accept = kind === "manifests" ? { accept: MANIFEST_TYPES } : {};
    const ask = (): Promise<http.IncomingMessage> => {
      const token = tokens.get(key);
      const authorization = token === undefined ? {} : { authorization: `Bearer ${token}` };
      return client.get(text, { ...options, headers: { ...options.headers, ...accept, ...authorization } });
    };
    const answer = await ask();
    if (answer.statusCode !== 401) return answer;
    // Without a token so far, or with one whose time is over.
    answer.destroy();
    const challenge = parseChallenge(answer.headers["www-authenticate"], url);
    tokens.set(key, await fetchToken(client, challenge, repository, options.signal));
    const again = await ask();
    if (again.statusCode !== 401) return again;
    again.destroy();
    throw refused(`${repository} for the token that ${url.host} sent us for`, "status 401");
  };
  return { get, close: () => client.close() };
}
