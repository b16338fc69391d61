import { SbomError } from "./errors.ts";
import type { InstalledPackage } from "./package.ts";

/** An installed RPM; its header is what the distribution signed. */
export interface RpmPackage extends InstalledPackage {
  readonly epoch: number;
  /** As the header has it, an SPDX expression in Fedora since release 38. */
  readonly licence: string;
  readonly sourceRpm: string;
  /** SHA-256 of the immutable header; undefined for packages of builders older than rpm 4.14. */
  readonly headerSha256: string | undefined;
}

/** The format that `parseRpmQuery` reads. JSON strings, so that a file name cannot end a field or begin a package (rpm-queryformat(7)). */
const QUERY_FORMAT = [
  String.raw`P\t%{NAME:json}\t%{EPOCHNUM}\t%{VERSION:json}\t%{RELEASE:json}\t%{ARCH:json}\t%{LICENSE:json}\t%{VENDOR:json}`,
  String.raw`\t%{SOURCERPM:json}\t%{URL:json}\t%{SHA256HEADER:json}\n`,
  String.raw`[F\t%{FILENAMES:json}\t%{FILEDIGESTS:json}\n][V\t%{PROVIDENAME:json}\n][R\t%{REQUIRENAME:json}\n]`,
].join("");

/** Arguments of rpm(8) that list every package of the database in folder `dbpath`. */
export const rpmQueryArguments = (dbpath: string): readonly string[] => ["--dbpath", dbpath, "-qa", "--qf", QUERY_FORMAT];

const malformed = (actual: string) =>
  new SbomError("SBOM_INPUT_MALFORMED", { expected: "the answer of rpm to our query", actual: actual.slice(0, 200) });

/** What rpm writes where a tag is absent, whatever the format asks for. As a value it would stand in quotes. */
const ABSENT = "(none)";

function jsonField(field: string | undefined): string {
  if (field === ABSENT) return "";
  let value: unknown;
  try {
    value = JSON.parse(field ?? "");
  } catch {
    throw malformed(field ?? "a missing field");
  }
  if (typeof value !== "string") throw malformed(field ?? "");
  return value;
}

/** "bash-5.2.26-3.fc42.src.rpm" -> bash, 5.2.26-3.fc42 */
function sourceOf(sourceRpm: string, name: string, version: string): InstalledPackage["source"] {
  const found = /^(?<name>.+)-(?<version>[^-]+-[^-]+)\.(?:no)?src\.rpm$/.exec(sourceRpm)?.groups;
  return { name: found?.name ?? name, version: found?.version ?? version };
}

const SHA256 = /^[0-9a-f]{64}$/;

type Row = readonly [kind: string, ...fields: string[]];

function packageOf([, ...head]: Row, rows: readonly Row[]): RpmPackage {
  const [first, epochText = "", ...others] = head;
  const name = jsonField(first);
  if (!/^[A-Za-z0-9][A-Za-z0-9+._-]*$/.test(name) || !/^\d{1,10}$/.test(epochText) || others.length !== 8) {
    throw malformed(`package ${name}`);
  }
  const [upstream, release, architecture = "", licence = "", vendor = "", sourceRpm = "", url = "", header = ""] =
    others.map(jsonField);
  const version = `${upstream}-${release}`;
  const epoch = Number(epochText);
  const fields = (kind: string, index: number) =>
    rows.filter((row) => row[0] === kind && row[1] !== ABSENT).map((row) => jsonField(row[index]));
  const paths = fields("F", 1);
  const digests = fields("F", 2);
  if (paths.some((path) => !path.startsWith("/"))) throw malformed(`a file of ${name} that has no absolute path`);
  return {
    ref: `rpm:${name}:${version}:${architecture}`,
    name,
    version: epoch === 0 ? version : `${epoch}:${version}`,
    architecture,
    supplier: vendor === "" ? "Fedora Project" : vendor,
    homepage: url === "" ? undefined : url,
    source: sourceOf(sourceRpm, name, version),
    // A dependency may name a file; "rpmlib(...)" is about rpm itself and "(a if b)" about what is not installed.
    depends: fields("R", 1)
      .filter((required) => !/^(rpmlib)?\(/.test(required))
      .map((required) => [required]),
    provides: [...fields("V", 1), ...paths],
    paths,
    digests: new Map(
      paths.flatMap((path, index) => {
        const digest = digests[index] ?? "";
        return SHA256.test(digest) ? [[path, digest]] : [];
      }),
    ),
    epoch,
    licence,
    sourceRpm,
    headerSha256: SHA256.test(header) ? header : undefined,
  };
}

/**
 * Every installed package in what `rpm` answered, sorted; the distribution's signing keys, which rpm keeps as packages, are none.
 * @throws SbomError SBOM_INPUT_MALFORMED
 */
export function parseRpmQuery(answer: string): readonly RpmPackage[] {
  const rows = answer
    .split("\n")
    .filter((line) => line !== "")
    .map((line): Row => [line.slice(0, 1), ...line.split("\t").slice(1)]);
  const groups: [Row, Row[]][] = [];
  for (const row of rows) {
    if (row[0] === "P") groups.push([row, []]);
    else if (["F", "V", "R"].includes(row[0]) && groups.length > 0) groups.at(-1)?.[1].push(row);
    else throw malformed(row.join(" "));
  }
  return groups
    .map(([head, body]) => packageOf(head, body))
    .filter(({ name }) => name !== "gpg-pubkey")
    .sort((a, b) => (a.ref < b.ref ? -1 : 1));
}
