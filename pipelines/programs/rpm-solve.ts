// Finds out which RPMs go onto a base image: libsolv over the base's own package database and the indexes of repositories.
// rpm-solve --root DIR --database /usr/share/rpm --repositories FILE --install a,b --remove c,d --architecture x86_64 --out FILE
//
// FILE of --repositories: [{"name", "index"}], index: primary.xml, plain or compressed. What cannot be satisfied is an answer, not a failure:
// {"schema":1,"problems":[...],"install":[...],"erase":[...]}.
import { spawnSync } from "node:child_process";
import { closeSync, cpSync, createReadStream, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { canonicalJson } from "@secai/formats/canonical-json";
import { type OfferedRpm, readPrimary } from "../lock/primary.ts";
import { parseSolution, rpmKey, solverCase } from "../lock/solver-case.ts";
import { listOf, readFlags, tool } from "./tool.ts";

const flag = readFlags(process.argv.slice(2));
const work = "/tmp/solve";
mkdirSync(work);

/** Runs `command` from one file to another. */
function filter(command: string, args: readonly string[], input: string, output: string): void {
  const [from, to] = [openSync(input, "r"), openSync(output, "w")];
  const { status, error } = spawnSync(command, [...args], { stdio: [from, to, "inherit"], cwd: work });
  closeSync(from);
  closeSync(to);
  if (error !== undefined || status !== 0) throw new Error(`${command} ended with ${error?.message ?? status}`);
}

/** The package database of the base, in a copy: readers of SQLite want to write beside it. */
function systemPackages(): string {
  const database = flag("database");
  const copy = join(work, "system", database);
  mkdirSync(dirname(copy), { recursive: true });
  cpSync(join(flag("root"), database), copy, { recursive: true });
  // rpmdb2solv takes the place from rpm's own configuration and has no option for it.
  writeFileSync("/tmp/.rpmmacros", `%_dbpath ${database}\n`);
  tool("rpmdb2solv", ["-r", join(work, "system"), "-o", join(work, "installed.solv")], { env: { HOME: "/tmp" } });
  return "installed.solv";
}

const readers: Readonly<Record<string, readonly [string, ...string[]]>> = {
  gz: ["gzip", "-dc"],
  xz: ["xz", "-dc"],
  zst: ["zstd", "-dcq", "--memory=2048MB"],
};

interface Repository {
  readonly name: string;
  readonly index: string;
}

/** The index as libsolv reads it, and as plain text. */
function readIndex({ name, index }: Repository): { readonly solv: string; readonly xml: string } {
  const [xml, solv] = [join(work, `${name}.xml`), `offered.${name}.solv`];
  const [command = "cat", ...args] = readers[index.slice(index.lastIndexOf(".") + 1)] ?? ["cat"];
  filter(command, args, index, xml);
  filter("rpmmd2solv", [], xml, join(work, solv));
  return { solv, xml };
}

const repositories = JSON.parse(readFileSync(flag("repositories"), "utf8")) as readonly Repository[];
const indexes = repositories.map((repository) => ({ ...repository, ...readIndex(repository) }));
const remove = listOf(flag("remove"));
// testsolv looks for the files of a case beside it, also for absolute names, and solves without those that it does not find.
writeFileSync(
  join(work, "case.t"),
  solverCase({
    system: systemPackages(),
    repositories: indexes,
    architecture: flag("architecture"),
    install: listOf(flag("install")),
    remove,
  }),
);
const answer = join(work, "answer");
filter("testsolv", ["-r", "case.t"], "/dev/null", answer);
const solution = parseSolution(readFileSync(answer, "utf8"), remove);

const offered = new Map<string, OfferedRpm>();
for (const { name, xml } of indexes) {
  const wanted = new Set(solution.install.filter(({ repository }) => repository === name).map(rpmKey));
  for await (const rpm of readPrimary(createReadStream(xml, { encoding: "utf8" }))) {
    if (wanted.has(rpmKey(rpm))) offered.set(`${name} ${rpmKey(rpm)}`, rpm);
  }
}
const install = solution.install.map(({ repository, ...chosen }) => {
  const rpm = offered.get(`${repository} ${rpmKey(chosen)}`);
  if (rpm === undefined) throw new Error(`${rpmKey(chosen)} of ${repository} is not in its index`);
  return { ...rpm, repository };
});
writeFileSync(flag("out"), `${canonicalJson({ schema: 1, problems: solution.problems, install, erase: solution.erase })}\n`);
