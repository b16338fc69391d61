import { lstatSync, readdirSync, readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { sha256 } from "../../../attest/formats/digest.ts";
import { makeBase, PLATFORM } from "./base.ts";
import { Bench } from "./bench.ts";
import { lockedEntries } from "./repository.ts";
import { addedPackages, buildRpms, KERNEL, type Spec } from "./rpms.ts";

let bench: Bench;
beforeAll(async () => {
  bench = await Bench.open();
  const digest = makeBase(bench, "image");
  bench.run("base", { image: "./image", digest, platform: PLATFORM, out: "./root", facts: "./base.json" });
  buildRpms(bench, "rpms", addedPackages);
});
afterAll(() => bench.remove());

interface Edit {
  readonly remove?: readonly string[];
  readonly absentCommands?: readonly string[];
  /** Changes the entry of each package. */
  readonly entry?: (entry: Record<string, unknown>) => Record<string, unknown>;
}

/** The transaction over a folder of packages, as an independent reader of a repository's metadata names them. */
function transaction(
  folder: string,
  name: string,
  { remove = ["git-core"], absentCommands = ["git", "go"], entry = (one) => one }: Edit = {},
): string {
  const install = lockedEntries(bench, folder).map(entry);
  bench.write(name, JSON.stringify({ schema: 1, install, remove, absentCommands }));
  return `./${name}`;
}

const flags = (rpms: string, file: string, out: string) => ({
  root: "./root",
  rpms: `./${rpms}`,
  transaction: file,
  out: `./${out}`,
  report: `./${out}.json`,
});

/** A folder of packages of its own, made like the good one and more. */
function store(name: string, ...specs: readonly Spec[]): string {
  bench.tools(`mkdir ${name}; cp rpms/*.rpm ${name}`);
  if (specs.length > 0) buildRpms(bench, name, specs);
  return name;
}

test("exactly the locked packages come, what the recipe removes goes, and scripts run inside the root", () => {
  bench.run("packages", flags("rpms", transaction("rpms", "good.json"), "good"));
  expect(bench.json("good.json")).toMatchObject({
    database: "usr/share/rpm",
    kernel: KERNEL,
    before: 4,
    after: 5,
    installed: [
      { nevra: "2:added-1.0-1.fc42.x86_64" },
      { nevra: "0:library-1.1-1.fc42.x86_64" },
      { nevra: "0:user-of-its-own-1.0-1.fc42.x86_64" },
    ],
    replaced: ["0:library-1.0-1.fc42.x86_64"],
    removed: ["0:git-core-2.49.0-1.fc42.x86_64"],
  });
  expect(bench.read("good/etc/added.conf")).toBe("configured\n");
  expect(bench.read("good/etc/passwd")).toMatch(/^tss:x:59:59:TPM:/m);
  expect(lstatSync(bench.at("good/usr/lib/owned"))).toMatchObject({ uid: 0, gid: 59 });
  expect(readdirSync(bench.at("good/etc")).filter((name) => /-$|lock/.test(name))).toEqual([]);
  expect(bench.read("good/usr/lib64/library.so")).toBe("new\n");
  expect(lstatSync(bench.at("good/usr/bin/git"), { throwIfNoEntry: false })).toBeUndefined();
  for (const folder of ["tmp", "run", "proc", "dev", "var/cache", "var/log", "var/tmp"])
    expect(readdirSync(bench.at("good", folder)), folder).toEqual([]);
  expect(readdirSync(bench.at("good/usr/share/rpm"))).toEqual(["rpmdb.sqlite"]);
});

test("the same transaction gives the same tree, database included", () => {
  bench.run("packages", flags("rpms", transaction("rpms", "again-transaction.json"), "again"));
  const digest = (root: string) => sha256(readFileSync(bench.at(root, "usr/share/rpm/rpmdb.sqlite")));
  expect(digest("again")).toBe(digest("good"));
  expect(bench.tools("diff -r --no-dereference good again && echo same")).toBe("same\n");
});

const refused: readonly { name: string; code: string; edit: (name: string) => { rpms: string; file: string } }[] = [
  {
    name: "a package with one bit changed",
    code: "RPM_STORE_DIFFERS",
    edit: (name) => {
      const file = transaction("rpms", `${name}.json`);
      store(name);
      bench.tools(
        `python3 - <<< "f = open('${name}/library-1.1-1.fc42.x86_64.rpm', 'r+b'); f.seek(-1, 2); b = f.read(1); f.seek(-1, 2); f.write(bytes([b[0] ^ 1]))"`,
      );
      return { rpms: name, file };
    },
  },
  {
    name: "a package in the store that the lock does not name",
    code: "RPM_STORE_DIFFERS",
    edit: (name) => ({ rpms: store(name, { name: "extra" }), file: transaction("rpms", `${name}.json`) }),
  },
  {
    name: "a locked package that is not in the store",
    code: "RPM_STORE_DIFFERS",
    edit: (name) => {
      const file = transaction("rpms", `${name}.json`);
      bench.tools(`mkdir ${name}; cp rpms/library-* ${name}`);
      return { rpms: name, file };
    },
  },
  {
    name: "a package under the name of another",
    code: "RPM_NEVRA_DIFFERS",
    edit: (name) => ({ rpms: "rpms", file: transaction("rpms", `${name}.json`, { entry: (one) => ({ ...one, epoch: 1 }) }) }),
  },
  {
    name: "a missing dependency",
    code: "RPM_DEPENDENCY_MISSING",
    edit: (name) => {
      const rpms = store(name, { name: "needy", head: "Requires: nobody-has-this" });
      return { rpms, file: transaction(rpms, `${name}.json`) };
    },
  },
  {
    name: "a removal that something still needs",
    code: "RPM_DEPENDENCY_MISSING",
    edit: (name) => {
      const rpms = store(name, { name: "needy", head: "Requires: git-core" });
      return { rpms, file: transaction(rpms, `${name}.json`) };
    },
  },
  {
    name: "a script whose interpreter the root lacks",
    code: "RPM_SCRIPT_REFUSED",
    edit: (name) => {
      const rpms = store(name, { name: "exotic", scripts: "%post -p /usr/bin/perl\nprint 1;" });
      return { rpms, file: transaction(rpms, `${name}.json`) };
    },
  },
  {
    name: "a script that fails",
    code: "RPM_FAILED",
    edit: (name) => {
      const rpms = store(name, { name: "failing", scripts: "%post\nexit 3" });
      return { rpms, file: transaction(rpms, `${name}.json`) };
    },
  },
  {
    name: "a package that takes another's place unasked",
    code: "TRANSACTION_DIFFERS",
    edit: (name) => {
      const rpms = store(name, { name: "usurper", head: "Obsoletes: git-core < 99" });
      return { rpms, file: transaction(rpms, `${name}.json`, { remove: [], absentCommands: [] }) };
    },
  },
  {
    name: "a removed package's command that another package brings back",
    code: "REMOVED_PRESENT",
    edit: (name) => {
      const rpms = store(name, {
        name: "imitation",
        install: "mkdir -p usr/sbin; echo git > usr/sbin/git",
        files: "/usr/sbin/git",
      });
      return { rpms, file: transaction(rpms, `${name}.json`) };
    },
  },
  {
    name: "a removed package that another provides",
    code: "REMOVED_PRESENT",
    edit: (name) => {
      const rpms = store(name, { name: "substitute", head: "Provides: git-core = 3" });
      return { rpms, file: transaction(rpms, `${name}.json`) };
    },
  },
  {
    name: "a removal of something the base does not have",
    code: "TRANSACTION_DIFFERS",
    edit: (name) => ({ rpms: "rpms", file: transaction("rpms", `${name}.json`, { remove: ["golang"] }) }),
  },
  {
    name: "a second kernel",
    code: "KERNEL_NOT_SINGLE",
    edit: (name) => {
      const rpms = store(name, {
        name: "kernel-other",
        install: "mkdir -p usr/lib/modules/7.0; echo k > usr/lib/modules/7.0/vmlinuz",
        files: "/usr/lib/modules/7.0",
      });
      return { rpms, file: transaction(rpms, `${name}.json`) };
    },
  },
  {
    name: "a file name that leads out of the store",
    code: "TRANSACTION_MALFORMED",
    edit: (name) => ({
      rpms: "rpms",
      file: transaction("rpms", `${name}.json`, { entry: (one) => ({ ...one, file: `../${one.file}` }) }),
    }),
  },
  {
    name: "a package that is installed and removed",
    code: "TRANSACTION_MALFORMED",
    edit: (name) => ({ rpms: "rpms", file: transaction("rpms", `${name}.json`, { remove: ["library"] }) }),
  },
];
for (const [index, { name, code, edit }] of refused.entries()) {
  test(`refuses ${name}`, () => {
    const { rpms, file } = edit(`refused-${index}`);
    expect(bench.refusal("packages", flags(rpms, file, `refused-${index}-out`))).toBe(code);
    bench.tools(`rm -rf refused-${index}-out`);
  });
}
