import { parseJson } from "@secai/formats/canonical-json";
import { SignError } from "./errors.ts";
import { readSecret } from "./passphrase.ts";

/** Gives an OpenID Connect identity token (a JWT) for the certificate authority. */
export type TokenSource = () => Promise<string>;

const MAX_TOKEN_BYTES = 16 << 10;
const LIMIT_MS = 15_000;

export interface TokenOptions {
  /** A descriptor to read the token from; else the CI system that runs this is asked. */
  readonly fd?: number;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** For whom the token shall be: what the certificate authority expects. */
  readonly audience?: string;
}

/** From the descriptor when there is one, else from the CI system around us: never from arguments, never by opening a browser. */
export function tokenSource({ fd, env, audience = "sigstore" }: TokenOptions): TokenSource {
  if (fd !== undefined) return async () => checkToken(String(await readSecret(fd, MAX_TOKEN_BYTES)));
  return async () => checkToken(env.SIGSTORE_ID_TOKEN || (await actionsToken(env, audience)));
}

/**
 * GitHub Actions hands a token to jobs with `id-token: write`;
 * https://docs.github.com/en/actions/reference/security/oidc#methods-for-requesting-the-oidc-token
 */
async function actionsToken(env: TokenOptions["env"], audience: string): Promise<string> {
  const { ACTIONS_ID_TOKEN_REQUEST_URL: address = "", ACTIONS_ID_TOKEN_REQUEST_TOKEN: bearer = "" } = env;
  if (address === "" || bearer === "")
    throw unavailable("--identity-token-fd, SIGSTORE_ID_TOKEN or GitHub Actions", "none of them");
  const url = new URL(address);
  url.searchParams.set("audience", audience);
  try {
    const headers = { accept: "application/json", authorization: `Bearer ${bearer}` };
    const response = await fetch(url, { headers, redirect: "error", signal: AbortSignal.timeout(LIMIT_MS) });
    if (!response.ok) throw new RangeError(`status ${response.status}`);
    const { value } = parseJson(Buffer.from(await response.arrayBuffer()), 2 * MAX_TOKEN_BYTES) as { readonly value?: unknown };
    if (typeof value !== "string") throw new RangeError("no token in the answer");
    return value;
  } catch (cause) {
    throw unavailable("a token from GitHub Actions", (cause as Error).message, cause);
  }
}

/** A look at the outside only: whom the token names is the certificate authority's to verify. Its text appears in no message. */
function checkToken(given: string): string {
  const token = given.trim();
  const [, claims = ""] = /^[\w-]+\.([\w-]+)\.[\w-]*$/.exec(token) ?? [];
  const { sub, exp } = claimsOf(claims);
  if (token.length > MAX_TOKEN_BYTES || typeof sub !== "string" || sub === "")
    throw unavailable("a JWT with a subject", "another text");
  if (typeof exp === "number" && exp * 1000 < Date.now()) throw unavailable("a token that is valid", "one that has expired");
  return token;
}

function claimsOf(encoded: string): { readonly sub?: unknown; readonly exp?: unknown } {
  try {
    const claims: unknown = parseJson(Buffer.from(encoded, "base64url"), MAX_TOKEN_BYTES);
    return typeof claims === "object" && claims !== null ? claims : {};
  } catch {
    return {};
  }
}

const unavailable = (expected: string, actual: string, cause?: unknown) =>
  new SignError("IDENTITY_TOKEN_UNAVAILABLE", { expected, actual, cause });
