import { canonicalJson, parseCanonicalJson } from "./canonical-json.ts";
import type { Sha256 } from "./digest.ts";
import { requireDistinct } from "./distinct.ts";
import { FormatError } from "./errors.ts";
import { integer, list, literal, object, parseShape, type Shape, type TypeOf, table, text } from "./shape.ts";
import { lineShape, nameShape, sha256Shape } from "./shapes.ts";

/** Largest baseline.json, in bytes. */
export const MAX_BASELINE_BYTES = 16 << 20;

const MAX_FILES = 200_000;
const digestShape = sha256Shape as Shape<Sha256>;
/** Absolute, without control characters; other scripts than Latin are fine (certificate authorities are named in their own). */
const pathShape = text(/^(?:\/|(?:\/[^/\p{Cc}\p{Cs}]+)+)$/u, 4096);
const common = {
  path: pathShape,
  /** Permission bits in four octal digits, set-user-id and sticky bits first, e.g. "4755". */
  mode: text(/^[0-7]{4}$/, 4),
  uid: integer(0, 0xffff_ffff),
  gid: integer(0, 0xffff_ffff),
};
const entryShapes = {
  file: object({ ...common, type: literal("file"), sha256: digestShape, size: integer(0) }),
  symlink: object({ ...common, type: literal("symlink"), target: text(/^[^\p{Cc}\p{Cs}]+$/u, 4096) }),
  directory: object({ ...common, type: literal("directory") }),
} as const;

/** A file, link or directory of the sealed root. Device files and sockets have no place in one. */
export type BaselineEntry =
  | TypeOf<typeof entryShapes.file>
  | TypeOf<typeof entryShapes.symlink>
  | TypeOf<typeof entryShapes.directory>;

const entryShape: Shape<BaselineEntry> = {
  schema: { oneOf: Object.values(entryShapes).map(({ schema }) => schema) },
  mistake(value, path) {
    const { type } = Object(value) as { type?: unknown };
    if (type === "file" || type === "symlink" || type === "directory") return entryShapes[type].mistake(value, path);
    return `${path}/type is not file or symlink or directory`;
  },
};

const fileRefShape = object({ path: pathShape, sha256: digestShape });
const unitName = text(/^[A-Za-z0-9:_.\\@-]+\.(service|socket|target|mount|automount|timer|path|slice|scope|swap|device)$/, 255);

/** A system extension that the root may merge: by which root hash it knows it, and what it then finds below /usr. */
const extensionShape = object({
  name: text(/^[a-z0-9][a-z0-9-]{0,31}$/, 32),
  rootHash: digestShape,
  files: list(entryShape, { min: 1, max: MAX_FILES }),
});

/** What a sealed root is; docs/predicates/baseline.md explains each member. */
export const baselineShape = object(
  {
    schema: literal(1),
    rootHash: digestShape,
    commandLine: text(/^[ -~]{1,4096}$/, 4096),
    kernelArguments: list(text(/^[!-~]+$/, 1024), { max: 256 }),
    files: list(entryShape, { min: 1, max: MAX_FILES }),
    units: list(object({ name: unitName, sha256: digestShape, enabled: literal(true, false) })),
    ports: list(object({ service: nameShape, address: text(/^[0-9a-f.:]{2,45}$/, 45), port: integer(1, 65_535) })),
    services: table(/^[a-z0-9][a-z0-9-]{0,63}$/, fileRefShape),
    policies: list(fileRefShape),
    sysctl: table(/^[a-z0-9_][A-Za-z0-9_.*/-]{0,255}$/, lineShape, { max: 10_000 }),
    firewall: fileRefShape,
    packages: list(
      object({
        name: text(/^[A-Za-z0-9][A-Za-z0-9+._-]{0,127}$/, 128),
        version: text(/^[!-~]+$/, 256),
        architecture: text(/^[a-z0-9_]+$/, 32),
      }),
      { max: 50_000 },
    ),
  },
  /** Absent in releases that have none. */
  { extensions: list(extensionShape, { max: 32 }) },
);
export type Baseline = TypeOf<typeof baselineShape>;

/** What a builder found; `buildBaseline` puts it in order. */
export type BaselineFacts = Omit<Baseline, "schema" | "commandLine">;

const unitDirectories = ["/etc/systemd/system", "/usr/lib/systemd/system"] as const;

/** What a kernel image of this root has as its command line: nothing else could be asked to boot it. */
export const commandLineOf = ({ rootHash, kernelArguments }: Pick<Baseline, "rootHash" | "kernelArguments">): string =>
  [`roothash=${rootHash}`, ...kernelArguments].join(" ");

const packageKey = ({ name, architecture }: Baseline["packages"][number]) => `${name}:${architecture}`;
const portKey = ({ service, address, port }: Baseline["ports"][number]) =>
  `${service} ${address} ${String(port).padStart(5, "0")}`;

function byKey<T>(items: readonly T[], key: (item: T) => string): T[] {
  return items.toSorted((a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0));
}

const inOrder = (extension: NonNullable<Baseline["extensions"]>[number]) => ({
  ...extension,
  files: byKey(extension.files, ({ path }) => path),
});

/** Facts in order. @throws FormatError SCHEMA_MISMATCH, DUPLICATE_ENTRY: facts that no reader would accept are our caller's mistake */
export function buildBaseline(facts: BaselineFacts): Baseline {
  return checkBaseline({
    ...facts,
    schema: 1,
    commandLine: commandLineOf(facts),
    files: byKey(facts.files, ({ path }) => path),
    units: byKey(facts.units, ({ name }) => name),
    ports: byKey(facts.ports, portKey),
    policies: byKey(facts.policies, ({ path }) => path),
    packages: byKey(facts.packages, packageKey),
    ...(facts.extensions === undefined ? {} : { extensions: byKey(facts.extensions.map(inOrder), ({ name }) => name) }),
  });
}

/** The bytes of baseline.json. */
export const baselineBytes = (baseline: Baseline): Buffer => Buffer.from(`${canonicalJson(baseline)}\n`);

/**
 * A baseline that agrees with itself: sorted, nothing twice, and whatever it names is among its files with that content.
 * @throws FormatError JSON_TOO_LARGE, JSON_MALFORMED, JSON_NOT_CANONICAL, SCHEMA_MISMATCH, DUPLICATE_ENTRY
 */
export function parseBaseline(bytes: Uint8Array): Baseline {
  return checkBaseline(parseCanonicalJson(bytes, MAX_BASELINE_BYTES));
}

function checkBaseline(value: unknown): Baseline {
  const baseline = parseShape(baselineShape, value, "a baseline");
  requireSorted(
    baseline.files.map(({ path }) => path),
    "files",
  );
  requireSorted(
    baseline.units.map(({ name }) => name),
    "units",
  );
  requireSorted(baseline.ports.map(portKey), "ports");
  requireSorted(
    baseline.policies.map(({ path }) => path),
    "policies",
  );
  requireSorted(baseline.packages.map(packageKey), "packages");
  requireSorted(
    (baseline.extensions ?? []).map(({ name }) => name),
    "extensions",
  );
  for (const { name, files } of baseline.extensions ?? []) {
    requireSorted(
      files.map(({ path }) => path),
      `files of extension ${name}`,
    );
    requireTree(files);
  }
  if (baseline.commandLine !== commandLineOf(baseline)) throw mismatch(commandLineOf(baseline), baseline.commandLine);
  requireFiles(baseline);
  return baseline;
}

function requireSorted(keys: readonly string[], what: string): void {
  requireDistinct(keys, what);
  const at = keys.findIndex((key, index) => index > 0 && key < (keys[index - 1] ?? ""));
  if (at >= 0) throw mismatch(`${what} in order`, `${keys[at]} after ${keys[at - 1]}`);
}

/** Digest of each file of a tree, by path; undefined for what is none. */
function requireTree(files: readonly BaselineEntry[]): ReadonlyMap<string, string | undefined> {
  const digests = new Map(files.map((entry) => [entry.path, entry.type === "file" ? entry.sha256 : undefined]));
  for (const { path } of files) {
    if (path.split("/").some((part) => part === "." || part === "..")) throw mismatch("a path without . and ..", path);
    const parent = path.slice(0, path.lastIndexOf("/"));
    if (digests.get(parent) !== undefined) throw mismatch(`${parent} as a directory`, `a file with ${path} below it`);
  }
  return digests;
}

function requireFiles({ files, services, policies, firewall, units }: Baseline): void {
  const digests = requireTree(files);
  for (const { path, sha256 } of [...Object.values(services), ...policies, firewall]) {
    if (digests.get(path) !== sha256)
      throw mismatch(`${path} with ${sha256} among the files`, digests.get(path) ?? "no such file");
  }
  for (const { name, sha256 } of units) {
    const found = unitDirectories.map((folder) => digests.get(`${folder}/${name}`));
    if (!found.includes(sha256)) throw mismatch(`unit ${name} with ${sha256} among the files`, "none");
  }
}

const mismatch = (expected: string, actual: string) => new FormatError("SCHEMA_MISMATCH", { expected, actual });
