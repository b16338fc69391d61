import { sha256 } from "@secai/formats/digest";
import { isFileName } from "@secai/formats/file-name";
import fc from "fast-check";
import { expect, test } from "vitest";
import { assetNameOf, fileNameOf } from "./asset-name.ts";
import { planAssets } from "./github.ts";
import { parseRestoreSource, parseTarget } from "./target.ts";

test("names of a release survive being flat", () => {
  expect(assetNameOf("keys/history/3.json")).toBe("keys__history__3.json");
  expect(fileNameOf("SHA256SUMS.sigstore.json")).toBe("SHA256SUMS.sigstore.json");
});

const part = fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9._+-]{0,8}$/);
const names = fc.array(part, { minLength: 1, maxLength: 4 }).map((parts) => parts.join("/"));

test("a file name either has no asset name or one that leads back to it alone", () => {
  fc.assert(
    fc.property(names, (name) => {
      let asset: string;
      try {
        asset = assetNameOf(name);
      } catch (error) {
        expect(error).toMatchObject({ code: "PUBLISH_NAME_AMBIGUOUS" });
        return;
      }
      expect(asset).toMatch(/^[A-Za-z0-9._-]+$/);
      expect(fileNameOf(asset)).toBe(name);
    }),
  );
});

test("whatever an asset is called, the file's name stays in the folder", () => {
  fc.assert(
    fc.property(fc.string(), (asset) => {
      try {
        expect(isFileName(fileNameOf(asset))).toBe(true);
      } catch (error) {
        expect(error).toMatchObject({ code: expect.stringMatching(/^(PUBLISH_NAME_AMBIGUOUS|FILE_NAME_UNSAFE)$/) });
      }
    }),
  );
});

test.each(["github:-o/r", "github:o--p/r", "github:o/..", "github:o/r?x", "github:o", "dir:", "oci:x", ""])(
  "target %j is refused",
  (text) => {
    expect(() => parseTarget(text)).toThrow(expect.objectContaining({ code: "PUBLISH_USAGE" }));
  },
);
test("targets and sources keep their paths as they are", () => {
  expect(parseTarget("dir:a:b/c d")).toEqual({ kind: "dir", path: "a:b/c d" });
  expect(parseTarget("github:An-Owner/the.repo_1")).toEqual({ kind: "github", owner: "An-Owner", repo: "the.repo_1" });
  expect(() => parseRestoreSource("dir:x")).toThrow(expect.objectContaining({ code: "PUBLISH_USAGE" }));
});

test("a file of 2 GiB, and the thousand-and-first file, are named before anything is sent", () => {
  const file = (name: string, size: number) => ({ name, path: name, size, sha256: sha256(name) });
  expect([...planAssets([file("sbom/image.cdx.json", 2 ** 31 - 1)]).keys()]).toEqual(["sbom__image.cdx.json"]);
  const tooLarge = expect.objectContaining({ code: "PUBLISH_FILE_TOO_LARGE" });
  expect(() => planAssets([file("disk.raw.zst", 2 ** 31)])).toThrow(tooLarge);
  const blobs = Array.from({ length: 1001 }, (_, n) => file(`oci/blobs/sha256/${sha256(`${n}`)}`, 1));
  expect(() => planAssets(blobs)).toThrow(tooLarge);
});
