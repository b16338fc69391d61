import { createHash, timingSafeEqual } from "node:crypto";
import { sha256 } from "@secai/formats/digest";
import { createHttpClient, type HttpClient } from "../fetch/http.ts";
import type { RecipeNpmPackage } from "../recipe/recipe.ts";
import { downloadRequired, firstMirror } from "./downloads.ts";
import { LockError } from "./errors.ts";
import { compareText, type LockedNpmPackage, NPM_ARCHIVE } from "./lock.ts";
import type { UpdateOptions } from "./update.ts";

/** A document about one version has a few KiB. */
const MAX_METADATA_BYTES = 4 << 20;
const MAX_TARBALL_BYTES = 2 ** 31;

/** What the registry says of one version. */
export interface OfferedNpmPackage {
  readonly name: string;
  readonly version: string;
  readonly integrity: string;
}

/** Where the registry keeps a tarball, below its root: a convention that every registry follows. */
export function tarballPath({ name, version }: { readonly name: string; readonly version: string }): string {
  return `${name}/-/${name.slice(name.indexOf("/") + 1)}-${version}.tgz`;
}

const isIntegrity = (value: unknown): value is string => typeof value === "string" && /^sha512-[A-Za-z0-9+/]{86}==$/.test(value);

function parseOffer(bytes: Uint8Array, name: string, version: string): OfferedNpmPackage {
  const what = `what the registry says of ${name} ${version}`;
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes).toString("utf8"));
  } catch (cause) {
    throw new LockError("LOCK_ARCHIVE_MALFORMED", { expected: `${what} in JSON`, actual: (cause as Error).message, cause });
  }
  const offer = value as {
    readonly name?: unknown;
    readonly version?: unknown;
    readonly dist?: { readonly integrity?: unknown };
  };
  const integrity = offer?.dist?.integrity;
  if (offer?.name !== name || offer.version !== version || !isIntegrity(integrity)) {
    const expected = `${what}: name, version and dist.integrity (sha512)`;
    throw new LockError("LOCK_ARCHIVE_MALFORMED", { expected, actual: JSON.stringify(offer)?.slice(0, 200) ?? "nothing" });
  }
  return { name, version, integrity };
}

async function required(client: HttpClient, path: string, limit: number, { mirrors, signal }: UpdateOptions): Promise<Buffer> {
  const base = firstMirror(mirrors, NPM_ARCHIVE, "a registry of npm");
  const missing = { expected: path, actual: "no such package or version" };
  return await downloadRequired({ client, ...(signal === undefined ? {} : { signal }) }, base + path, limit, missing);
}

async function withClient<T>({ proxyEnv }: UpdateOptions, work: (client: HttpClient) => Promise<T>): Promise<T> {
  const client = createHttpClient(proxyEnv === undefined ? {} : { proxyEnv });
  try {
    return await work(client);
  } finally {
    client.close();
  }
}

async function readOffer(
  client: HttpClient,
  { name, version }: { readonly name: string; readonly version: string },
  options: UpdateOptions,
): Promise<OfferedNpmPackage> {
  const path = `${name.replace("/", "%2f")}/${version}`;
  return parseOffer(await required(client, path, MAX_METADATA_BYTES, options), name, version);
}

/** What the registry offers now for each of `packages`. @throws LockError, FetchError */
export async function readNpmPackages(
  packages: readonly { readonly name: string; readonly version: string }[],
  options: UpdateOptions,
): Promise<readonly OfferedNpmPackage[]> {
  return packages.length === 0
    ? []
    : withClient(options, async (client) => {
        const offers: OfferedNpmPackage[] = [];
        for (const wanted of packages) offers.push(await readOffer(client, wanted, options));
        return offers;
      });
}

/**
 * Downloads each tarball once, checks it against the registry's own SHA-512 and takes down its SHA-256.
 * @throws LockError LOCK_ARCHIVE_MALFORMED, LOCK_ARCHIVE_MISSING, FetchError
 */
export async function lockNpmPackages(
  packages: readonly RecipeNpmPackage[],
  options: UpdateOptions,
): Promise<readonly LockedNpmPackage[]> {
  if (packages.length === 0) return [];
  return withClient(options, async (client) => {
    const locked: LockedNpmPackage[] = [];
    for (const wanted of packages) {
      options.report?.(`reading ${wanted.name} ${wanted.version}`);
      const { name, version, integrity } = await readOffer(client, wanted, options);
      const path = tarballPath(wanted);
      const bytes = await required(client, path, MAX_TARBALL_BYTES, options);
      const actual = createHash("sha512").update(bytes).digest();
      const expected = Buffer.from(integrity.slice("sha512-".length), "base64");
      if (!timingSafeEqual(actual, expected))
        throw new LockError("LOCK_ARCHIVE_MALFORMED", {
          expected: `${path} with ${integrity}`,
          actual: actual.toString("base64"),
        });
      locked.push({ name, version, path, size: bytes.length, sha256: sha256(bytes), integrity });
    }
    return locked.sort((a, b) => compareText(a.name, b.name));
  });
}
