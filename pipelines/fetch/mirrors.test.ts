import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { findMirrors, parseTargets } from "./mirrors.ts";

const both = ["debian", "debian-security"];
const named = ["debian=http://one.test/debian", "debian-security=https://one.test/security/"];

test("who names mirrors gets these, snapshots last", async () => {
  const env = {
    SECAI_MIRRORS: "debian=http://two.test/",
    SECAI_SNAPSHOTS: " debian=http://old.test/1/\n debian=http://old.test/2 ",
  };
  expect(await findMirrors(both, named, env)).toEqual({
    debian: ["http://one.test/debian/", "http://old.test/1/", "http://old.test/2/"],
    "debian-security": ["https://one.test/security/"],
  });
  expect((await findMirrors(["debian"], [], env)).debian?.[0]).toBe("http://two.test/");
});

test("an archive that nobody mirrors is told with the way to name one", async () => {
  const error = await findMirrors(["no-such-archive"], [], {}).catch((caught: unknown) => caught);
  expect(error).toMatchObject({
    code: "FETCH_MIRROR_UNKNOWN",
    exit: 2,
    fix: expect.stringContaining("--mirror no-such-archive=URL"),
  });
});

for (const wrong of [
  "debian",
  "debian=",
  "=http://x.test/",
  "debian=file:///srv",
  "debian=ftp://x.test/",
  "De bian=http://x.test/",
]) {
  test(`the mirror ${JSON.stringify(wrong)} is refused`, async () => {
    await expect(findMirrors(["debian"], [wrong], {})).rejects.toMatchObject({ code: "FETCH_MIRROR_UNKNOWN" });
  });
}

const target = (...fields: string[]): string => fields.join("\t");

test("mirrors of a Debian host, known by their suites before its lists came, or by their origin", async () => {
  const text = [
    target("http://a.test/debian/", "bookworm", "main", "Debian"),
    target("http://a.test/debian/", "bookworm-updates", "main", "Debian"),
    target("https://b.test/debian", "trixie", "main", "$(ORIGIN)"),
    target("http://a.test/security/", "bookworm-security", "main", ""),
  ].join("\n");
  expect(await parseTargets(text)).toEqual({
    debian: ["http://a.test/debian/", "https://b.test/debian/"],
    "debian-security": ["http://a.test/security/"],
  });
});

test("the security archive is looked for beside the main one when the host does not use it", async () => {
  expect(await parseTargets(target("http://a.test/debian/", "bookworm", "main", ""))).toEqual({
    debian: ["http://a.test/debian/"],
    "debian-security": ["http://a.test/debian-security/"],
  });
});

test("other archives are not taken for Debian's", async () => {
  const text = [
    target("http://u.test/ubuntu/", "noble", "main", "Ubuntu"),
    target("http://u.test/ubuntu/", "noble-security", "main", ""),
    target("http://v.test/node/", "nodistro", "main", "Other"),
    target("http://v.test/docker/", "bookworm", "stable", ""),
    target("http://v.test/tools/", "bookworm", "main", "Vendor"),
    target("file:/srv/mirror/", "bookworm", "main", "Debian"),
    target("cdrom:[Debian]/", "bookworm", "main", "Debian"),
    "",
    "no tabs",
  ].join("\n");
  expect(await parseTargets(text)).toEqual({});
});

test("a list of mirrors is read as apt reads it", async () => {
  const directory = await mkdtemp(join(tmpdir(), "secai-mirrors-"));
  try {
    const list = join(directory, "debian.list");
    await writeFile(list, "http://a.test/debian\n# comment\nhttps://b.test/debian/\tpriority:2\n");
    const text = [
      target(`mirror+file:${list}`, "trixie", "main", ""),
      target("mirror+file:/no/such/list", "trixie", "main", ""),
    ].join("\n");
    expect((await parseTargets(text)).debian).toEqual(["http://a.test/debian/", "https://b.test/debian/"]);
  } finally {
    await rm(directory, { recursive: true });
  }
});
