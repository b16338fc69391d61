import http from "node:http";
import https from "node:https";
import { FetchError } from "./errors.ts";

const MAX_REDIRECTS = 5;

/** How long a mirror may stay silent, in ms: before its answer and between two pieces of it. */
const SILENCE_MS = 30_000;

export interface GetOptions {
  /** First byte that is wanted; > 0 asks for a range. */
  readonly offset?: number;
  /** Names in lower case. An authorization goes to the host that was asked and to no other that it redirects to. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

export interface HttpClient {
  /**
   * Sends one GET and follows redirects. The caller must consume or destroy the answer's body.
   * @throws FetchError FETCH_UNREACHABLE, FETCH_REDIRECT
   */
  get(url: string, options?: GetOptions): Promise<http.IncomingMessage>;
  close(): void;
}

export interface HttpOptions {
  /** Where http_proxy, https_proxy and no_proxy stand; default: the environment. */
  readonly proxyEnv?: NodeJS.ProcessEnv;
  readonly silenceMs?: number;
}

/** HTTP and HTTPS with kept connections and the proxies of the environment. Nothing but absolute URLs of these two schemes is asked for. */
export function createHttpClient({ proxyEnv = process.env, silenceMs = SILENCE_MS }: HttpOptions = {}): HttpClient {
  const settings = { keepAlive: true, maxSockets: 16, proxyEnv };
  const agents = { "http:": new http.Agent(settings), "https:": new https.Agent(settings) };

  const once = (url: URL, { offset = 0, headers: asked = {}, signal }: GetOptions): Promise<http.IncomingMessage> =>
    new Promise((resolve, reject) => {
      const fail = (cause: Error): void => {
        if (signal?.aborted) reject(signal.reason);
        else reject(new FetchError("FETCH_UNREACHABLE", { expected: `an answer of ${url.host}`, actual: cause.message, cause }));
      };
      // "identity": a body that was compressed on the way could not be counted nor resumed.
      const range = offset > 0 ? { range: `bytes=${offset}-` } : {};
      const headers = { ...asked, "accept-encoding": "identity", ...range };
      const secure = url.protocol === "https:";
      const agent = secure ? agents["https:"] : agents["http:"];
      const request = (secure ? https : http).get(url, { agent, headers, ...(signal === undefined ? {} : { signal }) });
      request.setTimeout(silenceMs, () => request.destroy(new Error(`silent for ${silenceMs} ms`)));
      request.on("error", fail);
      request.on("response", resolve);
    });

  const follow = async (text: string, options: GetOptions): Promise<http.IncomingMessage> => {
    const { authorization: _, ...open } = options.headers ?? {};
    const { origin } = parseUrl(text);
    let url = parseUrl(text);
    for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
      const answer = await once(url, url.origin === origin ? options : { ...options, headers: open });
      const { location } = answer.headers;
      if (![301, 302, 303, 307, 308].includes(answer.statusCode ?? 0) || location === undefined) return answer;
      answer.destroy();
      url = parseUrl(location, url);
    }
    throw new FetchError("FETCH_REDIRECT", {
      expected: `at most ${MAX_REDIRECTS} redirects`,
      actual: `more, the last to ${url.host}`,
    });
  };

  return {
    get: (url, options = {}) => follow(url, options),
    close() {
      agents["http:"].destroy();
      agents["https:"].destroy();
    },
  };
}

function parseUrl(text: string, base?: URL): URL {
  const url = base === undefined ? URL.parse(text) : URL.parse(text, base.href);
  const downgraded = base?.protocol === "https:" && url?.protocol === "http:";
  if (url === null || downgraded || (url.protocol !== "http:" && url.protocol !== "https:")) {
    throw new FetchError("FETCH_REDIRECT", { expected: "an HTTP address, HTTPS after HTTPS", actual: text.slice(0, 200) });
  }
  return url;
}

/**
 * A small file, whole, in memory.
 * @returns `undefined` when the server has no such file
 * @throws FetchError FETCH_UNREACHABLE, FETCH_STATUS, FETCH_REDIRECT, FETCH_TOO_LARGE
 */
export async function download(
  client: HttpClient,
  url: string,
  maxBytes: number,
  signal?: AbortSignal,
): Promise<Buffer | undefined> {
  return await bodyOf(await client.get(url, signal === undefined ? {} : { signal }), url, maxBytes);
}

/** The whole body of an answer, or `undefined` where the server has no such file. @throws as `download` */
export async function bodyOf(answer: http.IncomingMessage, url: string, maxBytes: number): Promise<Buffer | undefined> {
  try {
    if (answer.statusCode === 404 || answer.statusCode === 410) return undefined;
    if (answer.statusCode !== 200)
      throw new FetchError("FETCH_STATUS", { expected: "status 200", actual: `${answer.statusCode} for ${url}` });
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > maxBytes)
        throw new FetchError("FETCH_TOO_LARGE", { expected: `at most ${maxBytes} bytes`, actual: `more for ${url}` });
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  } catch (cause) {
    if (cause instanceof FetchError) throw cause;
    throw new FetchError("FETCH_TRUNCATED", { expected: `all of ${url}`, actual: (cause as Error).message, cause });
  } finally {
    answer.destroy();
  }
}
