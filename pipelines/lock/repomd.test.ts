import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { LockError } from "./errors.ts";
import { parsePrimaryEntry, readPrimary } from "./primary.ts";
import { parseRepomd } from "./repomd.ts";
import { parseSolution, rpmKey, solverCase } from "./solver-case.ts";

const digest = "ab".repeat(32);
const repomd = `<?xml version="1.0" encoding="UTF-8"?>
<repomd xmlns="http://linux.duke.edu/metadata/repo" xmlns:rpm="http://linux.duke.edu/metadata/rpm">
  <revision>1754000000</revision>
  <data type="primary">
    <checksum type="sha256">${digest}</checksum>
    <open-checksum type="sha256">${"cd".repeat(32)}</open-checksum>
    <location href="repodata/${digest}-primary.xml.zst"/>
    <timestamp>1754000000</timestamp>
    <size>1234</size>
    <open-size>5678</open-size>
  </data>
  <data type="filelists">
    <checksum type="sha256">${"ef".repeat(32)}</checksum>
    <location href="repodata/filelists.xml.zst"/>
    <size>9</size>
  </data>
</repomd>
`;
const bytes = (text: string): Buffer => Buffer.from(text);

describe("parseRepomd", () => {
  const rejected: readonly (readonly [string, string, string])[] = [
    ["another digest's kind", '<checksum type="sha256">', '<checksum type="sha1">'],
    ["a path that climbs", 'href="repodata/', 'href="../repodata/'],
    ["an absolute path", 'href="repodata/', 'href="/repodata/'],
    ["an address", 'href="repodata/', 'href="https://x.example/'],
    ["an index of another kind", "-primary.xml.zst", "-primary.sqlite.bz2"],
    ["a size that is none", "<size>1234</size>", "<size>-1</size>"],
    ["an enormous size", "<size>1234</size>", "<size>99999999999</size>"],
    ["two primary indexes", 'type="filelists"', 'type="primary"'],
    ["no primary index", 'type="primary"', 'type="other"'],
    ["no revision", "<revision>1754000000</revision>", ""],
    ["an entity", "<revision>1754000000", "<revision>&x;"],
    ["a declaration", "<repomd ", '<!DOCTYPE x [<!ENTITY x "1">]><repomd '],
    ["a comment", "<revision>", "<!-- <revision>1</revision> --><revision>"],
    ["a short digest", digest, digest.slice(2)],
  ];
  test.each(rejected)("refuses %s", (_, from, to) => {
    const text = repomd.replace(from, to);
    expect(text).not.toBe(repomd);
    expect(() => parseRepomd(bytes(text))).toThrow(
      expect.objectContaining({ code: expect.stringMatching(/^(LOCK_ARCHIVE|DIGEST)_MALFORMED$/) }),
    );
  });
  test("reads the way to the list of packages", () => {
    expect(parseRepomd(bytes(repomd))).toEqual({
      revision: 1_754_000_000,
      primary: { path: `repodata/${digest}-primary.xml.zst`, sha256: digest, size: 1234 },
    });
  });
  test("returns or throws a coded error, nothing else", () => {
    const edits = fc.tuple(fc.nat(repomd.length - 1), fc.string({ maxLength: 4 }));
    fc.assert(
      fc.property(edits, ([at, piece]) => {
        try {
          parseRepomd(bytes(repomd.slice(0, at) + piece + repomd.slice(at + 1)));
        } catch (error) {
          expect(error instanceof LockError || (error as { code?: string }).code === "DIGEST_MALFORMED").toBe(true);
        }
      }),
    );
  });
});

const entry = `<package type="rpm">
  <name>nodejs</name>
  <arch>x86_64</arch>
  <version epoch="1" ver="22.17.0" rel="1.fc42"/>
  <checksum type="sha256" pkgid="YES">${digest}</checksum>
  <summary>&lt;name&gt;other&lt;/name&gt;</summary>
  <size package="1000" installed="2000" archive="3000"/>
  <location href="Packages/n/nodejs-22.17.0-1.fc42.x86_64.rpm"/>
  <format><rpm:license>MIT</rpm:license><name>inner</name></format>
`;
const rpm = { name: "nodejs", epoch: 1, version: "22.17.0", release: "1.fc42", arch: "x86_64" };

describe("the list of packages", () => {
  test.each<readonly [string, string, string]>([
    ["two names", "<name>nodejs</name>", "<name>nodejs</name><name>other</name>"],
    ["no digest", 'type="sha256"', 'type="md5"'],
    ["a path that climbs", 'href="Packages/', 'href="Packages/../../'],
    ["an absolute path", 'href="Packages/', 'href="/Packages/'],
    ["a base of its own", 'location href="', 'location xml:base="https://x.example/" href="'],
    ["a name with a blank", "<name>nodejs", "<name>node js"],
    ["a size of nothing", 'package="1000"', 'package="0"'],
  ])("with %s is refused", (_, from, to) => {
    const text = entry.replace(from, to);
    expect(text).not.toBe(entry);
    expect(() => parsePrimaryEntry(text)).toThrow();
  });
  test("is read package by package, however it is cut into pieces", async () => {
    const whole = `<?xml version="1.0"?>\n<metadata packages="2">\n${entry}</package>\n${entry.replace("nodejs<", "other<")}</package>\n</metadata>`;
    for (const size of [1, 7, 100, whole.length]) {
      async function* pieces() {
        for (let at = 0; at < whole.length; at += size) yield whole.slice(at, at + size);
      }
      const names: string[] = [];
      for await (const one of readPrimary(pieces())) names.push(one.name);
      expect(names).toEqual(["nodejs", "other"]);
    }
    expect(parsePrimaryEntry(entry)).toMatchObject({
      ...rpm,
      size: 1000,
      sha256: digest,
      path: expect.stringMatching(/^Packages\//),
    });
    expect(rpmKey(rpm)).toBe("nodejs-1:22.17.0-1.fc42.x86_64");
  });
});

describe("the solver", () => {
  test("is asked in plain lines", () => {
    const asked = {
      system: "installed.solv",
      repositories: [{ name: "fedora", solv: "offered.fedora.solv" }],
      architecture: "x86_64",
    };
    expect(solverCase({ ...asked, install: ["nodejs"], remove: ["git-core"] }).split("\n")).toEqual([
      "repo @System 0 solv installed.solv",
      "repo fedora 0 solv offered.fedora.solv",
      "system x86_64 rpm @System",
      "solverflags ignorerecommended",
      "job install name nodejs",
      "job erase name git-core",
      "",
    ]);
  });
  test("answers with packages, sorted, and with what has to go", () => {
    const answer =
      "erase git-core-2.49.0-1.noarch@@System\ninstall zsh-5.9-1.x86_64@fedora\ninstall nodejs-1:22.17.0-1.fc42.x86_64@updates\nupgrade lib-1-1.x86_64@@System lib-2-1.x86_64@updates\n";
    expect(parseSolution(answer, ["git-core"])).toEqual({
      problems: [],
      install: [
        { name: "lib", epoch: 0, version: "2", release: "1", arch: "x86_64", repository: "updates" },
        { ...rpm, repository: "updates" },
        { name: "zsh", epoch: 0, version: "5.9", release: "1", arch: "x86_64", repository: "fedora" },
      ],
      erase: ["git-core"],
    });
  });
  test.each<readonly [string, string, RegExp]>([
    ["a package of the base goes along", "erase other-1-1.noarch@@System", /other of the base would have to go/],
    ["what should go is not there", "", /git-core, which the base does not have/],
    ["a package becomes older", "downgrade a-2-1.noarch@@System a-1-1.noarch@fedora", /a-2-1\.noarch of the base/],
    [
      "something is missing",
      "problem 1a info nothing provides b\nproblem 1a solution 2b deljob install name a",
      /^nothing provides b$/,
    ],
  ])("has a problem when %s", (_, answer, problem) => {
    const { problems } = parseSolution(answer, ["git-core"]);
    expect(problems.some((text) => problem.test(text))).toBe(true);
  });
  test.each(["install nodejs", "install a b-1-1@x", "explode a-1-1.noarch@x", "install -1-1.noarch@x"])(
    "is not understood when it says %s",
    (answer) => {
      expect(() => parseSolution(answer, [])).toThrow();
    },
  );
});
