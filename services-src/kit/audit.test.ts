import { appendFile, mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type AuditLog, openAudit } from "./audit.ts";
import { verifyAudit } from "./audit-verify.ts";
import { systemClock } from "./sources.ts";

const key = Buffer.alloc(32, 7);
let directory: string;
let path: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "secai-audit-"));
  path = join(directory, "audit.jsonl");
});
afterEach(() => rm(directory, { recursive: true }));

const open = (limits: { maxFileBytes?: number; maxFiles?: number } = {}): Promise<AuditLog> =>
  openAudit({ path, key, clock: systemClock, ...limits });

/** A log with `created` and `count` more records. */
async function writeLog(count: number, limits = {}): Promise<void> {
  const log = await open(limits);
  for (let index = 0; index < count; index += 1) await log.append("decision", { index });
  await log.close();
}

const lines = async (): Promise<string[]> => (await readFile(path, "utf8")).split("\n").slice(0, -1);

const attacks: readonly { name: string; code: string; attack: () => Promise<unknown> }[] = [
  { name: "an edited value", code: "AUDIT_MAC", attack: async () => edit((text) => text.replace('"index":2', '"index":9')) },
  {
    name: "white space inside a record",
    code: "AUDIT_MAC",
    attack: () => edit((text) => text.replace('"index":2', '"index": 2')),
  },
  { name: "a removed record", code: "AUDIT_CHAIN_BROKEN", attack: () => drop(2) },
  { name: "a removed first record", code: "AUDIT_CHAIN_BROKEN", attack: () => drop(0) },
  { name: "a repeated record", code: "AUDIT_CHAIN_BROKEN", attack: () => edit((text) => text.replace(/^(.*\n)/, "$1$1")) },
  { name: "a removed last record", code: "AUDIT_TRUNCATED", attack: () => drop(5) },
  {
    name: "half of the last record",
    code: "AUDIT_TRUNCATED",
    attack: async () => truncate(path, (await readFile(path)).length - 40),
  },
  { name: "an emptied log", code: "AUDIT_MISSING", attack: () => writeFile(path, "") },
  { name: "a deleted log", code: "AUDIT_MISSING", attack: () => rm(path) },
  { name: "a deleted anchor", code: "AUDIT_MISSING", attack: () => rm(`${path}.head`) },
  { name: "an anchor of zeros", code: "AUDIT_MAC", attack: () => writeFile(`${path}.head`, Buffer.alloc(8192)) },
  { name: "an edited anchor", code: "AUDIT_MAC", attack: () => editAnchor((text) => text.replaceAll('"seq":', '"seq":1')) },
];

async function edit(change: (text: string) => string): Promise<void> {
  await writeFile(path, change(await readFile(path, "utf8")));
}
async function editAnchor(change: (text: string) => string): Promise<void> {
  await writeFile(`${path}.head`, change(await readFile(`${path}.head`, "utf8")).slice(0, 8192));
}
async function drop(index: number): Promise<void> {
  await writeFile(
    path,
    (await lines())
      .toSpliced(index, 1)
      .map((line) => `${line}\n`)
      .join(""),
  );
}

describe("tampering", () => {
  for (const { name, code, attack } of attacks) {
    test(`${name} is ${code}, when verified and at the next start`, async () => {
      await writeLog(5);
      await attack();
      await expect(verifyAudit(path, key)).rejects.toMatchObject({ code });
      await expect(open()).rejects.toMatchObject({ code });
    });
  }

  const spellings: readonly { name: string; respell: (line: string) => string }[] = [
    { name: "another byte that is read as U+FFFD", respell: (line) => line.replace("\xef\xbf\xbd", "\xff") },
    { name: "a duplicate key", respell: (line) => line.replace('{"data":{', '{"data":{},"data":{') },
    { name: "an escaped letter", respell: (line) => line.replace('"text"', '"t\\u0065xt"') },
    { name: "keys in another order", respell: (line) => line.replace(/("prev":"\w+"),("seq":\d+)/, "$2,$1") },
    {
      name: "a MAC in capital letters",
      respell: (line) => line.replace(/"mac":"\w+"/, (mac) => `"mac":"${mac.slice(7, -1).toUpperCase()}"`),
    },
  ];
  test.each(spellings)("$name is AUDIT_MAC: a record has one spelling", async ({ respell }) => {
    const log = await open();
    await log.append("decision", { text: "\ufffd" });
    await log.close();
    const genuine = await readFile(path, "latin1");
    const altered = respell(genuine);
    expect(altered).not.toBe(genuine);
    await writeFile(path, altered, "latin1");
    await expect(verifyAudit(path, key)).rejects.toMatchObject({ code: "AUDIT_MAC" });
  });

  test("another key is AUDIT_MAC", async () => {
    await writeLog(1);
    await expect(verifyAudit(path, Buffer.alloc(32, 8))).rejects.toMatchObject({ code: "AUDIT_MAC" });
  });

  test("any changed byte of the log is noticed", async () => {
    await writeLog(3);
    const genuine = await readFile(path);
    await fc.assert(
      fc.asyncProperty(fc.nat(genuine.length - 1), fc.integer({ min: 1, max: 255 }), async (offset, flip) => {
        const bytes = Buffer.from(genuine);
        bytes[offset] = (bytes[offset] ?? 0) ^ flip;
        await writeFile(path, bytes);
        await expect(verifyAudit(path, key)).rejects.toMatchObject({ code: expect.stringMatching(/^AUDIT_/) });
      }),
      { numRuns: 60 },
    );
  });
});

describe("crashes", () => {
  const tails = ["{", '{"data":{},"mac":"', "\0".repeat(300), "\0\0\n", '{"whole":"line"}\n', "x\ny\nz"];
  for (const tail of tails) {
    test(`a torn tail ${JSON.stringify(tail.slice(0, 20))} is reported, cut and said so`, async () => {
      await writeLog(3);
      await appendFile(path, tail);
      expect(await verifyAudit(path, key)).toMatchObject({ records: 4, torn: { bytes: tail.length } });
      await (await open()).close();
      expect(JSON.parse((await lines()).at(-1) ?? "")).toMatchObject({ seq: 5, type: "repaired", data: { bytes: tail.length } });
      expect(await verifyAudit(path, key)).toMatchObject({ records: 5 });
    });
  }

  test("records that reached the disk but not the anchor stay", async () => {
    await writeLog(2);
    const anchor = await readFile(`${path}.head`);
    await writeLog(2);
    await writeFile(`${path}.head`, anchor);
    expect(await verifyAudit(path, key)).toMatchObject({ records: 5 });
  });

  test("a torn anchor slot leaves the other one", async () => {
    await writeLog(4);
    const anchor = await readFile(`${path}.head`);
    for (const slot of [0, 4096]) {
      const torn = Buffer.from(anchor);
      torn.fill(0, slot + 20, slot + 4096);
      await writeFile(`${path}.head`, torn);
      expect(await verifyAudit(path, key)).toMatchObject({ records: 5 });
    }
  });
});

describe("rotation", () => {
  test("keeps the chain over files and gives up the oldest", async () => {
    await writeLog(40, { maxFileBytes: 2000, maxFiles: 3 });
    const files = (await readdir(directory)).filter((name) => /\.\d{12}$/.test(name));
    expect(files).toHaveLength(3);
    const report = await verifyAudit(path, key);
    expect(report.head.seq).toBe(41);
    expect(report.first.seq).toBeGreaterThan(0);
    await writeLog(1, { maxFileBytes: 2000, maxFiles: 3 });
    expect((await verifyAudit(path, key)).head.seq).toBe(42);
  });

  test("a removed rotated-out file is noticed", async () => {
    await writeLog(40, { maxFileBytes: 2000, maxFiles: 3 });
    const [oldest, middle] = (await readdir(directory)).filter((name) => /\.\d{12}$/.test(name)).sort();
    await rm(join(directory, oldest ?? ""));
    await expect(verifyAudit(path, key)).rejects.toMatchObject({ code: "AUDIT_CHAIN_BROKEN" });
    await rm(join(directory, middle ?? ""));
    await expect(verifyAudit(path, key)).rejects.toMatchObject({ code: "AUDIT_CHAIN_BROKEN" });
  });

  test("a removed current file is noticed at the next start", async () => {
    await writeLog(40, { maxFileBytes: 2000, maxFiles: 3 });
    await rm(path);
    await expect(open()).rejects.toMatchObject({ code: "AUDIT_MISSING" });
  });
});

describe("appending", () => {
  test("concurrent records share writes and keep their order", async () => {
    const log = await open();
    const links = await Promise.all(Array.from({ length: 200 }, (_, index) => log.append("decision", { index })));
    await log.close();
    expect(links.map(({ seq }) => seq)).toEqual(Array.from({ length: 200 }, (_, index) => index + 2));
    expect(await verifyAudit(path, key)).toMatchObject({ records: 201 });
  });

  test("a closed log and a flood are refused by name", async () => {
    const log = await open();
    const flood = Array.from({ length: 2000 }, () => log.append("decision", {}));
    const refused = (await Promise.allSettled(flood)).filter(({ status }) => status === "rejected");
    expect(refused.length).toBeGreaterThan(0);
    expect(refused[0]).toMatchObject({ reason: { code: "AUDIT_UNAVAILABLE" } });
    await log.close();
    await expect(log.append("decision", {})).rejects.toMatchObject({ code: "AUDIT_UNAVAILABLE" });
  });
});
