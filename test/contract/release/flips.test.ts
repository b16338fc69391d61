import { readFileSync } from "node:fs";
import { join } from "node:path";
import { sha256 } from "@secai/formats/digest";
import { runChecks } from "@secai/verify/check";
import { type FileFact, type Inventory, takeInventory } from "@secai/verify/inventory";
import { releaseChecks } from "@secai/verify/release-checks";
import { gatherEvidence } from "@secai/verify/release-evidence";
import { labelOf } from "@secai/verify/report-text";
import { verifyRelease } from "@secai/verify/verify-release";
import { afterAll, expect, test } from "vitest";
import { makeKeys, makeRelease, suiteResults, temporaryDirectory } from "./fixture.ts";
import { flip, namesIn, write } from "./forge.ts";

const scratch = temporaryDirectory();
afterAll(() => scratch[Symbol.dispose]());
const dir = join(scratch.path, "release");
const policy = makeKeys(join(scratch.path, "keys"));
await makeRelease(dir, join(scratch.path, "keys"), { files: suiteResults });
const inventory = await takeInventory(dir);

/** The check that must notice a change in a file; the list and its signature vouch for each other, the list for all the rest. */
const guardOf = (name: string) =>
  name === "SHA256SUMS" || name === "SHA256SUMS.sigstore.json" ? "checksums.signature" : `files.digest:${name}`;

const failing = (spoiled: Inventory) =>
  runChecks(releaseChecks, gatherEvidence(spoiled, policy), policy)
    .filter(({ status }) => status === "fail")
    .map(labelOf);

/** The inventory as it would be if one byte of a file were another. */
function spoil(name: string, file: FileFact, offset: number, mask: number): Inventory {
  const bytes = readFileSync(join(dir, name));
  bytes.writeUInt8(bytes.readUInt8(offset) ^ mask, offset);
  const spoiled: FileFact = { ...file, sha256: sha256(bytes), ...(file.bytes !== undefined && { bytes }) };
  return { ...inventory, files: new Map([...inventory.files, [name, spoiled]]) };
}

for (const [name, file] of inventory.files) {
  test(`a changed byte anywhere in ${name} is found`, () => {
    // The signature that everything hangs on is changed at every byte, in two ways, the list it signs at every fourth; the rest at every
    // byte of a short file and at about 16 places of a longer one.
    const covered = guardOf(name).startsWith("files.digest");
    const stride = covered ? Math.max(1, Math.floor(file.size / 16)) : name === "SHA256SUMS" ? 4 : 1;
    for (let offset = 0; offset < file.size; offset += stride) {
      for (const mask of name === "SHA256SUMS.sigstore.json" ? [1, 0x20] : [1]) {
        expect(failing(spoil(name, file, offset, mask)), `byte ${offset} of ${name}`).toContain(guardOf(name));
      }
    }
  });
}

test("a flipped bit on the disk is found in every file, by the same check", async () => {
  for (const name of namesIn(dir)) {
    const before = readFileSync(join(dir, name));
    for (const offset of new Set([0, before.length >> 1, before.length - 1])) {
      flip(dir, name, offset);
      const report = await verifyRelease(dir, policy);
      expect(report.verdict).toBe("rejected");
      expect(report.checks.filter(({ status }) => status === "fail").map(labelOf)).toContain(guardOf(name));
      write(dir, name, before);
    }
  }
  expect((await verifyRelease(dir, policy)).verdict).toBe("accepted");
});

test("a byte more or less at either end is found in every file", async () => {
  for (const name of namesIn(dir)) {
    const before = readFileSync(join(dir, name));
    const nothing = Buffer.alloc(0);
    for (const [head, body, tail] of [
      [Buffer.from("\n"), before, nothing],
      [nothing, before, Buffer.from("\n")],
      [nothing, before, Buffer.from("\0")],
      [nothing, before.subarray(1), nothing],
      [nothing, before.subarray(0, -1), nothing],
    ] as const) {
      write(dir, name, Buffer.concat([head, body, tail]));
      const report = await verifyRelease(dir, policy);
      expect(report.checks.filter(({ status }) => status === "fail").map(labelOf)).toContain(guardOf(name));
    }
    write(dir, name, before);
  }
});
