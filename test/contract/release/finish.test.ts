import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { sha256 } from "@secai/formats/digest";
import { verifyRelease } from "@secai/verify/verify-release";
import { afterAll, beforeEach, expect, test } from "vitest";
import { type FixtureChanges, makeKeys, makeRelease, suiteResults, temporaryDirectory } from "./fixture.ts";

const scratch = temporaryDirectory();
afterAll(() => scratch[Symbol.dispose]());
const at = (name: string) => join(scratch.path, name);
const policy = makeKeys(at("keys"));
const out = at("out/debian-13/0.1.0");

beforeEach(() => rmSync(at("out"), { recursive: true, force: true }));

const refused: readonly { readonly name: string; readonly code: string; readonly changes: FixtureChanges }[] = [
  { name: "a build without kernel image", code: "RELEASE_INPUT_MISSING", changes: { files: { "uki.efi": undefined } } },
  { name: "a build without boot loader", code: "RELEASE_SELF_CHECK", changes: { files: { "bootx64.efi": undefined } } },
  {
    name: "a build without disk image for virtual machines that does not say so",
    code: "RELEASE_SELF_CHECK",
    changes: { files: { "disk.qcow2": undefined } },
  },
  { name: "a file that no release has", code: "RELEASE_SELF_CHECK", changes: { files: { "notes.txt": { content: "x" } } } },
  {
    name: "an image SBOM that is not JSON",
    code: "JSON_MALFORMED",
    changes: { files: { "sbom/image.cdx.json": { content: "x" } } },
  },
  { name: "a service without SBOM", code: "RELEASE_SELF_CHECK", changes: { files: { "services/x.mjs": { content: "x" } } } },
  {
    name: "measurements that do not parse",
    code: "MEASUREMENTS_MALFORMED",
    changes: { files: { "measurements.json": { content: "{}" } } },
  },
  {
    name: "measurements of another designation",
    code: "RELEASE_SELF_CHECK",
    changes: { measurements: { designation: "stable" } },
  },
  {
    name: "provenance that is not canonical",
    code: "JSON_NOT_CANONICAL",
    changes: { files: { "provenance.intoto.json": { content: "{ }\n" } } },
  },
  {
    name: "provenance of nothing but the disk",
    code: "RELEASE_SELF_CHECK",
    changes: { facts: { subjects: [{ name: "disk.raw.zst", digest: { sha256: sha256("a compressed disk\n") } }] } },
  },
  {
    name: "provenance of a stable release with drift",
    code: "RELEASE_SELF_CHECK",
    changes: { facts: { designation: "stable", drift: ["bash"] }, measurements: { designation: "stable" } },
  },
  {
    name: "an image digest that is wrong",
    code: "RELEASE_SELF_CHECK",
    changes: { files: { IMAGE_DIGEST: { content: `sha256:${"0".repeat(64)}\n` } } },
  },
  {
    name: "a recorded digest that is not the file's",
    code: "RELEASE_INPUT_CHANGED",
    changes: { options: { records: { "uki.efi": { sha256: sha256("x"), size: 23 } } } },
  },
  {
    name: "a record of a file that is not there",
    code: "RELEASE_INPUT_CHANGED",
    changes: { options: { records: { ghost: { sha256: sha256("x"), size: 1 } } } },
  },
  {
    name: "a source that is not there",
    code: "RELEASE_INPUT_MISSING",
    changes: { sources: { "disk.raw.zst": { path: "/nonexistent" } } },
  },
  { name: "keys that are not there", code: "SIGNER_MISSING", changes: { options: { keysDir: "/nonexistent" } } },
];
for (const { name, code, changes } of refused) {
  test(`${name}: ${code}, and what was there before stays`, async () => {
    mkdirSync(out, { recursive: true });
    writeFileSync(join(out, "before"), "x");
    await expect(makeRelease(out, at("keys"), changes)).rejects.toMatchObject({ code });
    expect(readdirSync(out)).toEqual(["before"]);
    expect(readdirSync(join(out, ".."))).toEqual(["0.1.0"]);
  });
}

test("a key that others can read signs nothing", async () => {
  makeKeys(at("loose"));
  chmodSync(at("loose/release.key"), 0o644);
  await expect(makeRelease(out, at("loose"))).rejects.toMatchObject({ code: "KEY_EXPOSED" });
  expect(existsSync(at("out"))).toBe(false);
});

test("a release takes the place of the one before, and nothing is left beside it", async () => {
  await makeRelease(out, at("keys"), { files: suiteResults });
  expect(readdirSync(out)).toContain("tests");
  const { report, files, dir } = await makeRelease(out, at("keys"));
  expect({ verdict: report.verdict, dir }).toEqual({ verdict: "accepted", dir: out });
  expect(readdirSync(out)).not.toContain("tests");
  expect(readdirSync(join(out, ".."))).toEqual(["0.1.0"]);
  for (const { name, sha256: digest, size } of files) {
    const bytes = readFileSync(join(out, name));
    expect({ name, digest: sha256(bytes), size: bytes.length }).toEqual({ name, digest, size });
  }
  expect((await verifyRelease(out, policy)).verdict).toBe("accepted");
});

test("no secret is in a release, and everybody can read all of it", async () => {
  const { files } = await makeRelease(out, at("keys"));
  const secret = readFileSync(at("keys/release.key"), "utf8").split("\n")[1] ?? "";
  expect(secret.length).toBeGreaterThan(40);
  for (const { name } of files) {
    expect(readFileSync(join(out, name), "utf8")).not.toContain(secret);
    expect(statSync(join(out, name)).mode & 0o777).toBe(0o644);
  }
});

test("what is made of the same inputs is the same, whenever it is made; only signatures and the channel differ", async () => {
  const digests = async () => {
    const { files } = await makeRelease(out, at("keys"));
    return new Map(
      files
        .filter(({ name }) => !name.includes("sigstore") && !/MANIFEST|SUMS|^channel|^oci\//.test(name))
        .map((file) => [file.name, file.sha256]),
    );
  };
  expect(await digests()).toEqual(await digests());
});

test("linked files share their bytes with the source, copies do not", async () => {
  writeFileSync(at("disk"), "a compressed disk\n");
  const files = { "disk.raw.zst": { path: at("disk") } };
  for (const link of [true, false]) {
    const release = await makeRelease(out, at("keys"), { sources: files, options: { link } });
    expect(release.report.verdict).toBe("accepted");
    expect(statSync(join(out, "disk.raw.zst")).ino === statSync(at("disk")).ino).toBe(link);
  }
});
