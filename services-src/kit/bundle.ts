import { createHash } from "node:crypto";
import { KitError } from "./errors.ts";
import { readBounded } from "./files.ts";
import { parseStrictJson } from "./json.ts";

const MAX_MANIFEST_BYTES = 1 << 20;
const MAX_BUNDLE_BYTES = 16 << 20;

interface ManifestEntry {
  readonly path: string;
  readonly sha256: string;
}

/**
 * The bytes of a service's bundle, if they are the ones that the sealed manifest names.
 * @throws KitError BUNDLE_MANIFEST, BUNDLE_UNKNOWN, BUNDLE_DIGEST
 */
export async function readVerifiedBundle(manifestPath: string, name: string): Promise<Uint8Array> {
  const services = await readManifest(manifestPath);
  const entry = services.get(name);
  if (entry === undefined)
    throw new KitError("BUNDLE_UNKNOWN", { expected: [...services.keys()].join(" | "), actual: JSON.stringify(name) });
  const bytes = await readBounded(entry.path, MAX_BUNDLE_BYTES);
  const actual = createHash("sha256").update(bytes).digest("hex");
  if (actual !== entry.sha256) throw new KitError("BUNDLE_DIGEST", { expected: `${entry.path} with ${entry.sha256}`, actual });
  return bytes;
}

// Checked by hand: a schema library would be most of the runner's code, and every service start would wait for it.
async function readManifest(path: string): Promise<ReadonlyMap<string, ManifestEntry>> {
  try {
    const { schema, services, ...unknown } = record(parseStrictJson(await readBounded(path, MAX_MANIFEST_BYTES)));
    if (schema !== 1 || Object.keys(unknown).length > 0) throw new TypeError("another format");
    return new Map(Object.entries(record(services)).map(([name, entry]) => [name, parseEntry(name, entry)]));
  } catch (cause) {
    throw new KitError("BUNDLE_MANIFEST", { expected: `a service manifest at ${path}`, actual: (cause as Error).message, cause });
  }
}

function parseEntry(name: string, value: unknown): ManifestEntry {
  const { path, sha256, ...unknown } = record(value);
  const isEntry = typeof path === "string" && path.startsWith("/") && typeof sha256 === "string" && /^[0-9a-f]{64}$/.test(sha256);
  if (!isEntry || Object.keys(unknown).length > 0 || !/^[a-z][a-z0-9-]{0,63}$/.test(name))
    throw new TypeError(`a malformed entry ${name}`);
  return { path, sha256 };
}

function record(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new TypeError("no object");
  return value as Record<string, unknown>;
}

/**
 * Runs the very bytes that were checked: they become a `data:` module, so there is no second reading of the file between the check and
 * the execution. (vm.SourceTextModule would need an experimental flag on Node 20; a temporary file would bring the second reading back.)
 * A `data:` module can import only Node's own modules, which is all a bundle may need. The source URL gives stack traces a short name.
 */
export async function importBytes(name: string, bytes: Uint8Array): Promise<void> {
  const source = Buffer.concat([bytes, Buffer.from(`\n//# sourceURL=${name}.mjs\n`)]);
  await import(`data:text/javascript;base64,${source.toString("base64")}`);
}
