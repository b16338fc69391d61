import { sha256 } from "@secai/formats/digest";
import { expect, test } from "vitest";
import { fileNameOf, mayBecome } from "./file-names.ts";

const digest = sha256("x");

test("a word in braces becomes the digest, and only there", () => {
  expect(fileNameOf("oci/blobs/sha256/{layer}", digest)).toBe(`oci/blobs/sha256/${digest}`);
  expect(fileNameOf("disk.ova", digest)).toBe("disk.ova");
});

test.each([
  ["disk.ova", "disk.ova", true],
  ["disk.ova", "disk.ovas", false],
  ["oci/blobs/sha256/{layer}", `oci/blobs/sha256/${digest}`, true],
  ["oci/blobs/sha256/{layer}", `oci/blobs/sha256/${digest}0`, false],
  ["oci/blobs/sha256/{layer}", `oci/blobs/sha512/${digest}`, false],
  ["oci/blobs/sha256/{layer}", "oci/blobs/sha256/{layer}", false],
  ["oci/blobs/sha256/{layer}", "oci/blobs/sha256/", false],
])("%s may become %s: %s", (output, name, expected) => expect(mayBecome(output, name)).toBe(expected));
