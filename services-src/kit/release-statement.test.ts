import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bundleBytes, parseBundle } from "@secai/formats/bundle";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { DeploymentError } from "./deployment-errors.ts";
import { pinnedStatementKeys } from "./enrolment.ts";
import { enrolledWith, publisher, signedStatement } from "./release-statement.test-data.ts";
import { claimedRoot, trustedStatement } from "./release-statement.ts";

const ours = publisher();
const another = publisher();
const stranger = publisher();
const root = "ab".repeat(32);
const otherRoot = "cd".repeat(32);
const FIRST = "measurements.json.sigstore.json";
const FURTHER = "measurements.json.0123456789abcdef.sigstore.json";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "secai-statement-"));
});
afterEach(() => rmSync(folder, { recursive: true }));
const write = (name: string, content: string | Uint8Array) => writeFileSync(join(folder, name), content);

describe("pinnedStatementKeys refuses", () => {
  const profile = enrolledWith([ours.pem]);
  const rows: readonly { readonly name: string; readonly content: string }[] = [
    { name: "an empty file", content: "" },
    { name: "a list", content: "[]" },
    { name: "an earlier version", content: JSON.stringify({ ...profile, version: 1 }) },
    { name: "an unknown member", content: JSON.stringify({ ...profile, pin: false }) },
    {
      name: "keys twice, of which readers might see different ones",
      content: JSON.stringify(profile).replace("{", '{"statement_keys":[],'),
    },
    { name: "no key in place of one", content: JSON.stringify({ ...profile, statement_keys: ["-"] }) },
    { name: "a large file", content: JSON.stringify(profile).padEnd(65 * 1024) },
  ];
  for (const { name, content } of rows)
    test(name, async () => {
      write("profile.json", content);
      await expect(pinnedStatementKeys(join(folder, "profile.json"))).rejects.toMatchObject({
        code: "UPDATE_ENROLMENT_UNREADABLE",
      });
    });

  test("a link to a profile, and a folder", async () => {
    write("other.json", JSON.stringify(profile));
    symlinkSync("other.json", join(folder, "profile.json"));
    await expect(pinnedStatementKeys(join(folder, "profile.json"))).rejects.toMatchObject({
      code: "UPDATE_ENROLMENT_UNREADABLE",
    });
    await expect(pinnedStatementKeys(folder)).rejects.toMatchObject({ code: "UPDATE_ENROLMENT_UNREADABLE" });
  });
});

describe("pinnedStatementKeys reads", () => {
  const keysOf = async (profile: object) => {
    write("profile.json", JSON.stringify(profile, null, 2));
    return pinnedStatementKeys(join(folder, "profile.json"));
  };
  test("the keys of an enrolment", async () =>
    expect(await keysOf(enrolledWith([ours.pem, another.pem]))).toEqual([ours.pem, another.pem]));
  test("none where none is pinned", async () => expect(await keysOf(enrolledWith([]))).toEqual([]));
  test("none of a machine in evaluation", async () => expect(await keysOf({ version: 2, mode: "evaluation" })).toEqual([]));
  test("none where there is no profile", async () => expect(await pinnedStatementKeys(join(folder, "none.json"))).toEqual([]));
});

describe("trustedStatement refuses", () => {
  const good = signedStatement({ rootHash: root }, ours);
  const rows: readonly {
    readonly name: string;
    readonly code: string;
    readonly files: () => Readonly<Record<string, Uint8Array>>;
  }[] = [
    { name: "a release without one", code: "UPDATE_STATEMENT_ABSENT", files: () => ({}) },
    {
      name: "the measurements without their signature",
      code: "UPDATE_STATEMENT_ABSENT",
      files: () => ({ "measurements.json": Buffer.from(`{"rootHash":"${root}"}`) }),
    },
    {
      name: "a statement under another file's name",
      code: "UPDATE_STATEMENT_ABSENT",
      files: () => ({ "baseline.json.sigstore.json": good }),
    },
    {
      name: "one by somebody else",
      code: "UPDATE_STATEMENT_UNTRUSTED",
      files: () => ({ [FIRST]: signedStatement({ rootHash: root }, stranger) }),
    },
    {
      name: "one by somebody else under our name",
      code: "UPDATE_STATEMENT_UNTRUSTED",
      files: () => ({ [FIRST]: signedStatement({ rootHash: root }, { ...stranger, pem: ours.pem }) }),
    },
    {
      name: "another predicate",
      code: "UPDATE_STATEMENT_UNTRUSTED",
      files: () => ({ [FIRST]: signedStatement({ rootHash: root }, ours, "urn:secai-os:predicate:baseline:v1") }),
    },
    { name: "no root hash", code: "UPDATE_STATEMENT_UNTRUSTED", files: () => ({ [FIRST]: signedStatement({}, ours) }) },
    { name: "no bundle", code: "UPDATE_STATEMENT_UNTRUSTED", files: () => ({ [FIRST]: Buffer.from("{}") }) },
    { name: "half a bundle", code: "UPDATE_STATEMENT_UNTRUSTED", files: () => ({ [FIRST]: good.subarray(0, good.length / 2) }) },
    {
      name: "more than the attestor reads",
      code: "UPDATE_STATEMENT_UNTRUSTED",
      files: () => ({ [FIRST]: signedStatement({ rootHash: root, more: "x".repeat(300_000) }, ours) }),
    },
    {
      name: "one about another release",
      code: "UPDATE_STATEMENT_FOREIGN",
      files: () => ({ [FIRST]: signedStatement({ rootHash: otherRoot }, ours) }),
    },
    {
      name: "one about another release that was changed to be about this",
      code: "UPDATE_STATEMENT_UNTRUSTED",
      files: () => {
        const bundle = parseBundle(signedStatement({ rootHash: otherRoot }, ours));
        if (bundle.kind !== "statement") throw new Error("a statement was made");
        const payload = Buffer.from(bundle.payload.toString().replaceAll(otherRoot, root));
        return { [FIRST]: bundleBytes({ ...bundle, payload }) };
      },
    },
  ];
  for (const { name, code, files } of rows)
    test(name, async () => {
      for (const [file, content] of Object.entries(files())) write(file, content);
      await expect(trustedStatement(folder, root, [ours.pem])).rejects.toMatchObject({ code });
    });

  test("a link to a good one, a folder, no directory", async () => {
    write("elsewhere", good);
    symlinkSync("elsewhere", join(folder, FIRST));
    await expect(trustedStatement(folder, root, [ours.pem])).rejects.toMatchObject({ code: "UPDATE_STATEMENT_UNTRUSTED" });
    rmSync(join(folder, FIRST));
    mkdirSync(join(folder, FIRST));
    await expect(trustedStatement(folder, root, [ours.pem])).rejects.toMatchObject({ code: "UPDATE_STATEMENT_UNTRUSTED" });
    await expect(trustedStatement(join(folder, "none"), root, [ours.pem])).rejects.toMatchObject({
      code: "UPDATE_STATEMENT_ABSENT",
    });
  });

  test("any other bytes, with its own error and no other", async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 }), async (position, difference) => {
        const bytes = Buffer.from(good);
        bytes[position] = (bytes[position] ?? 0) ^ difference;
        write(FIRST, bytes);
        await expect(trustedStatement(folder, root, [ours.pem])).rejects.toBeInstanceOf(DeploymentError);
        expect(() => claimedRoot(bytes)).not.toThrow();
      }),
      { numRuns: 200 },
    );
  });
});

describe("trustedStatement takes", () => {
  test("the statement by a pinned key, its very bytes", async () => {
    const good = signedStatement({ rootHash: root }, ours);
    write(FIRST, good);
    expect(await trustedStatement(folder, root, [another.pem, ours.pem])).toEqual(good);
    expect(claimedRoot(good)).toBe(root);
  });

  test("the one of several signers' that counts", async () => {
    const second = signedStatement({ rootHash: root }, ours);
    write(FIRST, signedStatement({ rootHash: root }, stranger));
    write(FURTHER, second);
    expect(await trustedStatement(folder, root, [ours.pem])).toEqual(second);
  });
});
