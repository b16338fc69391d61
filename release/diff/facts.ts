import type { Baseline, BaselineEntry } from "@secai/formats/baseline";
import type { JsonValue } from "@secai/formats/canonical-json";
import type { Manifest } from "@secai/formats/manifest";
import { signedFileOf } from "@secai/formats/release-layout";

/** What is compared, in the order in which it is shown. */
export const sections = [
  "release",
  "packages",
  "units",
  "kernel-arguments",
  "files",
  "ports",
  "services",
  "policies",
  "firewall",
  "sysctl",
  "components",
  "keys",
  "channel",
  "measurements",
  "artifacts",
] as const;
export type SectionName = (typeof sections)[number];

/** What is said of one item, e.g. `{ version: "5.2" }` of a package. */
export type Fields = Readonly<Record<string, string>>;
export interface Section {
  readonly items: ReadonlyMap<string, Fields>;
  /** Where the order has a meaning of its own. */
  readonly order?: readonly string[];
}
/** A section is undefined when the release has nothing to make it from: then it cannot be compared. */
export type ReleaseFacts = Readonly<Record<SectionName, Section | undefined>>;

/** The documents of a release that facts are made from. */
export interface ReleaseDocuments {
  readonly manifest: Manifest;
  readonly baseline: Baseline | undefined;
  readonly measurements: JsonValue | undefined;
  readonly keyManifest: JsonValue | undefined;
  readonly channel: JsonValue | undefined;
  /** CycloneDX documents by what they are about: "image" or a service. */
  readonly sboms: ReadonlyMap<string, JsonValue>;
}

/** Pure: documents as tables that can be compared line by line. */
export function factsOf(documents: ReleaseDocuments): ReleaseFacts {
  const { manifest, baseline, sboms } = documents;
  return {
    ...baselineFacts(baseline),
    release: releaseFacts(manifest),
    components: sboms.size === 0 ? undefined : table(componentRows(sboms)),
    keys: keyFacts(documents),
    channel: documents.channel === undefined ? undefined : table(leaves(documents.channel)),
    measurements: documents.measurements === undefined ? undefined : table(leaves(documents.measurements)),
    artifacts: artifactFacts(manifest),
  };
}

type Row = readonly [item: string, fields: Fields];

/** Rows by item; what is said twice of one item with different words stands side by side. */
function table(rows: Iterable<Row>, order?: readonly string[]): Section {
  const items = new Map<string, Fields>();
  for (const [item, fields] of rows) {
    const before = items.get(item);
    items.set(item, before === undefined ? fields : joined(before, fields));
  }
  return order === undefined ? { items } : { items, order };
}

function joined(a: Fields, b: Fields): Fields {
  const names = [...new Set([...Object.keys(a), ...Object.keys(b)])];
  return Object.fromEntries(
    names.map((name) => {
      const values = [a[name], b[name]].filter((value) => value !== undefined).flatMap((value) => value.split(" | "));
      return [name, [...new Set(values)].toSorted().join(" | ")];
    }),
  );
}

function releaseFacts(manifest: Manifest): Section {
  const { tag, recipe, designation, image, build, trust_root, absent } = manifest;
  const facts: Readonly<Record<string, string | undefined>> = {
    recipe,
    version: tag,
    designation,
    "image digest": image.digest,
    "root hash": image.root_hash,
    builder: build.builder_id,
    timestamp: build.timestamp,
    commit: build.commit_sha,
    "release key": trust_root.fingerprint,
  };
  const rows = Object.entries(facts).flatMap(([item, value]): Row[] => (value === undefined ? [] : [[item, { value }]]));
  return table([...rows, ...absent.map(({ name, reason }): Row => [`absent ${name}`, { reason }])]);
}

type BaselineSections = Pick<
  ReleaseFacts,
  "packages" | "units" | "kernel-arguments" | "files" | "ports" | "services" | "policies" | "firewall" | "sysctl"
>;

function baselineFacts(baseline: Baseline | undefined): BaselineSections {
  const from = (make: (known: Baseline) => Iterable<Row>) => (baseline === undefined ? undefined : table(make(baseline)));
  return {
    packages: from(({ packages }) => packages.map(({ name, version, architecture }) => [`${name}:${architecture}`, { version }])),
    units: from(({ units }) => units.map(({ name, sha256, enabled }) => [name, { enabled: enabled ? "yes" : "no", sha256 }])),
    "kernel-arguments": baseline && table(baseline.kernelArguments.map(argumentRow), baseline.kernelArguments),
    files: from(({ files }) => files.map((entry) => [entry.path, entryFields(entry)])),
    ports: from(({ ports }) => ports.map(({ service, address, port }) => [`${service} ${port}`, { address }])),
    services: from(({ services }) => Object.entries(services)),
    policies: from(({ policies }) => policies.map(({ path, sha256 }) => [path, { sha256 }])),
    firewall: from(({ firewall: { path, sha256 } }) => [[path, { sha256 }]]),
    sysctl: from(({ sysctl }) => Object.entries(sysctl).map(([key, value]) => [key, { value }])),
  };
}

/** "console=ttyS0" is the item "console" with that value; a bare word has none. */
function argumentRow(argument: string): Row {
  const at = argument.indexOf("=");
  return at < 0 ? [argument, {}] : [argument.slice(0, at), { value: argument.slice(at + 1) }];
}

function entryFields(entry: BaselineEntry): Fields {
  const { type, mode, uid, gid } = entry;
  const common = { type, mode, owner: `${uid}:${gid}` };
  if (entry.type === "file") return { ...common, size: `${entry.size}`, sha256: entry.sha256 };
  return entry.type === "symlink" ? { ...common, target: entry.target } : common;
}

function* componentRows(sboms: ReleaseDocuments["sboms"]): Iterable<Row> {
  for (const [about, sbom] of sboms) {
    const components = member(sbom, "components");
    if (!Array.isArray(components)) continue;
    for (const component of components) yield componentRow(about, component);
  }
}

function componentRow(about: string, component: JsonValue): Row {
  const field = (name: string) => textOf(member(component, name));
  const group = field("group");
  const name = field("name") ?? "unnamed";
  const version = field("version");
  const kind = field("type") ?? "component";
  const hash = member(component, "hashes");
  const fields = { version, "package URL": field("purl"), hashes: hash && hashesOf(hash) };
  const item = `${about}: ${kind} ${group === undefined ? "" : `${group}/`}${name}`;
  return [item, Object.fromEntries(Object.entries(fields).filter((entry): entry is [string, string] => entry[1] !== undefined))];
}

const hashesOf = (hashes: JsonValue): string | undefined =>
  Array.isArray(hashes)
    ? hashes.map((hash: JsonValue) => `${textOf(member(hash, "alg"))}:${textOf(member(hash, "content"))}`).join(" ")
    : undefined;

function keyFacts({ manifest, keyManifest }: ReleaseDocuments): Section {
  const files = manifest.files.filter(({ role }) => ["secure-boot-key", "pcr-key", "release-key"].includes(role));
  const rows = files.map(({ name, sha256 }): Row => [`file ${name}`, { sha256 }]);
  return table([...rows, ...(keyManifest === undefined ? [] : leaves(keyManifest))]);
}

/** Every file but signatures, which differ each time they are made (ECDSA draws a number). */
function artifactFacts(manifest: Manifest): Section {
  const files = manifest.files.filter(({ name }) => signedFileOf(name) === undefined);
  return table(files.map(({ name, size, sha256 }): Row => [name, { size: `${size}`, sha256 }]));
}

const MAX_DEPTH = 16;

/** A JSON document as one row a value; lists of plain values are one value, lists of objects are told apart by their fingerprints. */
function leaves(value: JsonValue, path = "", depth = 0): readonly Row[] {
  if (value === null || typeof value !== "object" || depth > MAX_DEPTH) return [[path, { value: leafText(value) }]];
  const entries = Array.isArray(value)
    ? value.map((item: JsonValue, index): [string, JsonValue] => [textOf(member(item, "fingerprint")) ?? `${index}`, item])
    : Object.entries(value);
  if (Array.isArray(value) && value.every((item) => item === null || typeof item !== "object"))
    return [[path, { value: value.map(leafText).join(", ") || "none" }]];
  return entries.flatMap(([name, item]) => leaves(item, path === "" ? name : `${path} ${name}`, depth + 1));
}

const leafText = (value: JsonValue): string => (typeof value === "string" ? value : JSON.stringify(value));
const textOf = (value: JsonValue | undefined): string | undefined => (typeof value === "string" ? value : undefined);

function member(value: JsonValue, name: string): JsonValue | undefined {
  if (value === null || typeof value !== "object" || Array.isArray(value) || !Object.hasOwn(value, name)) return undefined;
  return (value as { readonly [key: string]: JsonValue })[name];
}
