import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { publisher, signedStatement } from "./release-statement.test-data.ts";
import { dropStatements, type Kept, type Known, placeStatement } from "./statement-store.ts";

const key = publisher();
const hex = (number: number) => number.toString(16).padStart(2, "0").repeat(32);
const release = (number: number): Known => ({ rootHash: hex(number), digest: `sha256:${hex(255 - number)}` });
const statementOf = ({ rootHash }: Known) => signedStatement({ rootHash }, key);

let parent: string;
let directory: string;
beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), "secai-statements-"));
  directory = join(parent, "statements");
});
afterEach(() => rmSync(parent, { recursive: true }));

const place = (running: number, next: number, ...others: readonly number[]) => {
  const kept: Kept = { running: release(running), next: release(next), others: others.map((one) => release(one).digest) };
  return placeStatement(directory, statementOf(release(next)), kept);
};
/** Numbers of the releases of which a statement is there. */
const there = () =>
  readdirSync(directory)
    .filter((name) => name.endsWith(".sigstore.json"))
    .map((name) => Number.parseInt(name.slice(0, 2), 16))
    .sort();
const enrol = (number: number): void => {
  mkdirSync(directory, { mode: 0o700 });
  writeFileSync(join(directory, `${hex(number)}.sigstore.json`), statementOf(release(number)), { mode: 0o600 });
};

describe("refuses, and leaves everything as it was,", () => {
  const rows: readonly { readonly name: string; readonly prepare: () => void }[] = [
    { name: "a file in the folder's place", prepare: () => writeFileSync(directory, "") },
    {
      name: "a link to a folder",
      prepare: () => {
        mkdirSync(join(parent, "elsewhere"), { mode: 0o700 });
        symlinkSync("elsewhere", directory);
      },
    },
    { name: "a link to nowhere", prepare: () => symlinkSync("nowhere", directory) },
    {
      name: "a folder that others may write",
      prepare: () => {
        mkdirSync(directory);
        chmodSync(directory, 0o770);
      },
    },
    {
      name: "a link among the statements",
      prepare: () => {
        mkdirSync(directory, { mode: 0o700 });
        symlinkSync("/etc/passwd", join(directory, `${hex(9)}.sigstore.json`));
      },
    },
    {
      name: "a record that is none",
      prepare: () => {
        mkdirSync(directory, { mode: 0o700 });
        writeFileSync(join(directory, "deployments.json"), '{"version":1,"roots":{"x":"y"}}');
      },
    },
  ];
  for (const { name, prepare } of rows)
    test(name, async () => {
      prepare();
      const before = readdirSync(parent, { recursive: true });
      await expect(place(1, 2)).rejects.toMatchObject({ code: "UPDATE_STATEMENTS_UNUSABLE", exit: 3 });
      expect(readdirSync(parent, { recursive: true })).toEqual(before);
    });

  test("no folder to make it in", async () => {
    rmSync(parent, { recursive: true });
    await expect(place(1, 2)).rejects.toMatchObject({ code: "UPDATE_STATEMENTS_UNUSABLE" });
    mkdirSync(parent);
  });
});

test("the statement lies there by its root hash, for its owner alone", async () => {
  const statement = statementOf(release(2));
  await placeStatement(directory, statement, { running: release(1), next: release(2), others: [] });
  const path = join(directory, `${hex(2)}.sigstore.json`);
  expect(readFileSync(path)).toEqual(statement);
  expect([statSync(path).mode & 0o7777, statSync(directory).mode & 0o7777]).toEqual([0o600, 0o700]);
  expect(readdirSync(directory).sort()).toEqual([`${hex(2)}.sigstore.json`, "deployments.json"].sort());
});

test("through updates, the statements of what runs, what ran before and what comes are there, and no other", async () => {
  enrol(1);
  await place(1, 2);
  expect(there()).toEqual([1, 2]);
  await place(2, 3, 1);
  expect(there()).toEqual([1, 2, 3]);
  await place(3, 4, 2);
  expect(there()).toEqual([2, 3, 4]);
});

test("what was staged and never ran stays until the next is staged, and goes then", async () => {
  enrol(1);
  await place(1, 2);
  await place(1, 3, 2);
  expect(there()).toEqual([1, 2, 3]);
  await dropStatements(directory, { running: release(1), next: release(3), others: [] });
  expect(there()).toEqual([1, 3]);
});

test("after a way back, the release that was left is kept for as long as it can be booted", async () => {
  enrol(1);
  await place(1, 2);
  await place(1, 3, 2);
  expect(there()).toEqual([1, 2, 3]);
  await place(1, 4, 3);
  expect(there()).toEqual([1, 3, 4]);
});

test("the same release twice is there once", async () => {
  await place(1, 2);
  await place(1, 2);
  expect(there()).toEqual([2]);
});

test("what an operator put there goes by what it speaks of, not by its name; what is no statement goes", async () => {
  enrol(1);
  const put = (name: string, content: string | Uint8Array) => writeFileSync(join(directory, name), content);
  put("measurements.json.sigstore.json", statementOf(release(1)));
  put("old.sigstore.json", statementOf(release(7)));
  put(`${hex(8)}.sigstore.json`, "half of a st");
  put("large.sigstore.json", Buffer.alloc(300_000));
  put(`${hex(6)}.sigstore.json.new`, "left over");
  put("notes.txt", "of the operator");
  await place(1, 2);
  expect(readdirSync(directory).sort()).toEqual(
    [
      "deployments.json",
      "measurements.json.sigstore.json",
      "notes.txt",
      `${hex(1)}.sigstore.json`,
      `${hex(2)}.sigstore.json`,
    ].sort(),
  );
});

test("whatever is staged, whatever is booted: nothing that can be booted is without, and never are there more than four", async () => {
  const step = fc.constantFrom("stage", "boot", "rollback");
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
      rmSync(directory, { recursive: true, force: true });
      enrol(1);
      let [booted, previous, staged, count]: [number, number | undefined, number | undefined, number] = [
        1,
        undefined,
        undefined,
        1,
      ];
      for (const one of steps) {
        if (one === "stage") {
          count += 1;
          const others = [staged, previous].filter((number) => number !== undefined);
          await place(booted, count, ...others);
          expect(there().length).toBeLessThanOrEqual(4);
          staged = count;
          await dropStatements(directory, {
            running: release(booted),
            next: release(count),
            others: previous === undefined ? [] : [release(previous).digest],
          });
        } else if (one === "boot" && staged !== undefined) {
          [booted, previous, staged] = [staged, booted, undefined];
        } else if (one === "rollback" && previous !== undefined) {
          [booted, previous, staged] = [previous, booted, undefined];
        }
        const bootable = [booted, previous, staged].filter((number) => number !== undefined);
        expect(there()).toEqual(expect.arrayContaining(bootable));
      }
    }),
    { numRuns: 40 },
  );
});
