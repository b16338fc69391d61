// Checks that every package is signed by a key which the base image holds for its repository, and says by which.
// rpm-signatures --root DIR --keys FILE --packages FILE --rpms DIR --out FILE
//
// FILE of --keys: {"REPOSITORY": ["/etc/pki/rpm-gpg/..."]}; of --packages: [{"file", "repository"}]. --out: {"FILE": "key id"}.
import { spawnSync } from "node:child_process";
import { lstatSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { canonicalJson } from "@secai/formats/canonical-json";
import { readFlags, tool, toolOutput } from "./tool.ts";

const flag = readFlags(process.argv.slice(2));
const keys = JSON.parse(readFileSync(flag("keys"), "utf8")) as Readonly<Record<string, readonly string[]>>;
const packages = JSON.parse(readFileSync(flag("packages"), "utf8")) as readonly { file: string; repository: string }[];

/** A database that knows the keys of one repository and nothing else. */
function keyDatabase(repository: string): string {
  const database = join("/tmp/keys", repository);
  mkdirSync(database, { recursive: true });
  for (const path of keys[repository] ?? []) {
    const file = join(flag("root"), path);
    if (lstatSync(file, { throwIfNoEntry: false })?.isFile() !== true) throw new Error(`the base has no key ${path}`);
    tool("rpmkeys", ["--dbpath", database, "--import", file]);
  }
  return database;
}

const databases = new Map<string, string>();
function databaseOf(repository: string): string {
  const known = databases.get(repository) ?? keyDatabase(repository);
  databases.set(repository, known);
  return known;
}

/** An unsigned package has no key to name: both kinds of header signatures are asked for. */
const SIGNER = "%|RSAHEADER?{%{RSAHEADER:pgpsig}}:{%|DSAHEADER?{%{DSAHEADER:pgpsig}}:{none}|}|";

const signers = packages.map(({ file, repository }): [string, string] => {
  const database = databaseOf(repository);
  const path = join(flag("rpms"), file);
  // Digests and signature both: a package without a signature is none of ours (rpmkeys(8)).
  const strict = ["--dbpath", database, "--define", "_pkgverify_level all", "--checksig", path];
  const { status, stdout } = spawnSync("rpmkeys", strict, { encoding: "utf8", env: { ...process.env, LC_ALL: "C.UTF-8" } });
  if (status !== 0) throw new Error(`${file} of ${repository} is not signed by its keys: ${stdout.trim().slice(-200)}`);
  const said = toolOutput("rpm", ["--dbpath", database, "-qp", "--qf", SIGNER, path]);
  const id = /Key ID ([0-9a-f]{16,64})$/.exec(said.trim())?.[1];
  if (id === undefined) throw new Error(`${file} does not say who signed it: ${said.slice(0, 200)}`);
  return [file, id];
});
writeFileSync(flag("out"), `${canonicalJson(Object.fromEntries(signers))}\n`);
