import { lstatSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { FileIdentity } from "@secai/verify/hash-file";
import { readMediumClaim } from "@secai/verify/medium-digest";
import fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import { temporaryDirectory } from "./fixture.ts";
import { isoOf, ovaOf } from "./media.ts";

const scratch = temporaryDirectory();
afterAll(() => scratch[Symbol.dispose]());
const path = join(scratch.path, "medium");
const DIGEST = `sha256:${"ab".repeat(32)}`;

function identity(): FileIdentity {
  const { dev, ino, size, mtimeNs, ctimeNs } = lstatSync(path, { bigint: true });
  return { dev, ino, size, mtimeNs, ctimeNs };
}
function claim(kind: "ova" | "iso", content: Uint8Array) {
  writeFileSync(path, content);
  return readMediumClaim(path, kind, identity());
}

test("a digest is read from where it stands", async () => {
  expect(await claim("ova", ovaOf(DIGEST))).toEqual({ digest: DIGEST });
  expect(await claim("iso", isoOf(`${DIGEST}\n`))).toEqual({ digest: DIGEST });
  expect(await claim("iso", isoOf(`${DIGEST}\n`, "IMAGE_DIGEST;1"))).toEqual({ digest: DIGEST });
});

test("a file that changed since it was hashed says nothing", async () => {
  writeFileSync(path, ovaOf(DIGEST));
  const before = { ...identity(), mtimeNs: 1n };
  expect(await readMediumClaim(path, "ova", before)).toMatchObject({ code: "MEDIUM_MALFORMED" });
});

test("a file that is not there, or is a link, says nothing", async () => {
  expect(await readMediumClaim(join(scratch.path, "none"), "iso", identity())).toMatchObject({ code: "FILE_UNREADABLE" });
});

for (const [kind, genuine] of [
  ["ova", ovaOf(DIGEST)],
  ["iso", isoOf(`${DIGEST}\n`)],
] as const) {
  test(`whatever bytes an ${kind} has, the answer is a digest or a code`, async () => {
    const damage = fc.record({
      at: fc.nat(genuine.length - 1),
      value: fc.nat(255),
      keep: fc.double({ min: 0, max: 1, noNaN: true }),
    });
    await fc.assert(
      fc.asyncProperty(damage, async ({ at, value, keep }) => {
        const bytes = Buffer.from(genuine);
        bytes[at] = value;
        const found = await claim(kind, bytes.subarray(0, Math.ceil(bytes.length * keep)));
        expect("digest" in found ? found.digest : found.code).toMatch(/^(sha256:[0-9a-f]{64}|MEDIUM_MALFORMED|XML_MALFORMED)$/);
      }),
      { numRuns: 200 },
    );
  });
}
