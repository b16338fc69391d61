import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  appendFileSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { hashDirectory } from "./directory-hash.ts";
import { CHUNK_BYTES, createBuffers, hashFile } from "./hash-file.ts";

let folder: string;
const hasher = { buffers: createBuffers() };
const at = (name: string): string => join(folder, name);
beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), "secai-hash-")));
});
afterEach(() => rmSync(folder, { recursive: true }));

const sha = (bytes: Buffer | string): string => createHash("sha256").update(bytes).digest("hex");

describe("hashFile", () => {
  const faults: readonly { name: string; make: () => string; fault: string }[] = [
    { name: "what is not there", make: () => at("none"), fault: "missing" },
    { name: "a directory", make: () => folder, fault: "special" },
    {
      name: "a link",
      make: () => {
        writeFileSync(at("a"), "x");
        symlinkSync(at("a"), at("b"));
        return at("b");
      },
      fault: "linked",
    },
    {
      name: "a file below a link",
      make: () => {
        mkdirSync(at("real"));
        writeFileSync(at("real/a"), "x");
        symlinkSync(at("real"), at("folder"));
        return at("folder/a");
      },
      fault: "linked",
    },
    {
      name: "a pipe, without waiting for its other end",
      make: () => {
        execFileSync("mkfifo", [at("pipe")]);
        return at("pipe");
      },
      fault: "special",
    },
  ];
  for (const { name, make, fault } of faults)
    test(`has no digest of ${name}`, async () => {
      expect(await hashFile(make(), hasher)).toMatchObject({ fault });
    });

  test("a file that grows while it is read has none", async () => {
    writeFileSync(at("a"), Buffer.alloc(4 * CHUNK_BYTES));
    const pace = (): undefined => {
      appendFileSync(at("a"), "more");
    };
    expect(await hashFile(at("a"), { ...hasher, pace })).toMatchObject({ fault: "moving" });
  });

  test("a file that is replaced while it is read has none, although what is read stays whole", async () => {
    writeFileSync(at("a"), Buffer.alloc(2 * CHUNK_BYTES));
    let count = 0;
    const pace = (): undefined => {
      count += 1;
      writeFileSync(at(`b${count}`), Buffer.alloc(2 * CHUNK_BYTES, count));
      renameSync(at(`b${count}`), at("a"));
    };
    expect(await hashFile(at("a"), { ...hasher, pace })).toMatchObject({ fault: "moving" });
  });

  test("a file that was replaced once is read again, and its digest is the new one's", async () => {
    writeFileSync(at("a"), "old");
    let done = false;
    const pace = (): undefined => {
      if (done) return;
      done = true;
      writeFileSync(at("b"), "new");
      renameSync(at("b"), at("a"));
    };
    expect(await hashFile(at("a"), { ...hasher, pace })).toMatchObject({ sha256: sha("new") });
  });

  test("digests are SHA-256 at every size around a chunk's", async () => {
    for (const size of [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES + 7]) {
      const bytes = Buffer.alloc(size, 7);
      writeFileSync(at("a"), bytes);
      expect(await hashFile(at("a"), hasher), `${size}`).toMatchObject({ sha256: sha(bytes) });
    }
  });
});

describe("SecAI-Directory-Hash-v1", () => {
  const put = (name: string, content: string): void => {
    mkdirSync(join(at("d"), name, ".."), { recursive: true });
    writeFileSync(join(at("d"), name), content);
  };
  beforeEach(() => mkdirSync(at("d")));

  test("of an empty directory is that of its tag", async () => {
    expect(await hashDirectory(at("d"), hasher)).toEqual({ sha256: sha("SecAI-Directory-Hash-v1\0"), size: 0 });
  });

  test("is the one that was written out by hand", async () => {
    put("b/c.txt", "hello");
    put("a", "");
    // Byte order of paths: "a", then "b/c.txt".
    const bytes = Buffer.concat([
      Buffer.from("SecAI-Directory-Hash-v1\0"),
      Buffer.from("000000000000000161", "hex"),
      Buffer.from("0000000000000000", "hex"),
      Buffer.from(`0000000000000007${Buffer.from("b/c.txt").toString("hex")}`, "hex"),
      Buffer.from(`0000000000000005${Buffer.from("hello").toString("hex")}`, "hex"),
    ]);
    expect(await hashDirectory(at("d"), hasher)).toEqual({ sha256: sha(bytes), size: 5 });
    expect(sha(bytes)).toBe("339b8af8c0a15de526c730e907ece1d1aaebcbadd5e4a5e36b2671cdcf06fd1c");
  });

  test("orders by the bytes of the whole path, not by folder", async () => {
    put("a/z", "1");
    put("a-b", "2");
    // "-" (2d) sorts before "/" (2f).
    const record = (name: string, content: string) => {
      const sizes = [name, content].map((text) => Buffer.from(text.length.toString(16).padStart(16, "0"), "hex"));
      return Buffer.concat([sizes[0] ?? Buffer.alloc(0), Buffer.from(name), sizes[1] ?? Buffer.alloc(0), Buffer.from(content)]);
    };
    const expected = sha(Buffer.concat([Buffer.from("SecAI-Directory-Hash-v1\0"), record("a-b", "2"), record("a/z", "1")]));
    expect(await hashDirectory(at("d"), hasher)).toMatchObject({ sha256: expected });
  });

  const refused: readonly { name: string; make: () => void; fault: string }[] = [
    { name: "a symbolic link", make: () => symlinkSync("/etc/passwd", at("d/link")), fault: "linked" },
    { name: "a hard link", make: () => linkSync(at("x"), at("d/hard")), fault: "linked" },
    { name: "a pipe", make: () => void execFileSync("mkfifo", [at("d/pipe")]), fault: "special" },
    {
      name: "a name that is not UTF-8",
      make: () => writeFileSync(Buffer.concat([Buffer.from(at("d/")), Buffer.from([0xff])]), "x"),
      fault: "limit",
    },
  ];
  for (const { name, make, fault } of refused)
    test(`refuses ${name}`, async () => {
      writeFileSync(at("x"), "x");
      make();
      expect(await hashDirectory(at("d"), hasher)).toMatchObject({ fault });
    });

  test("no two different directories of a few small files have the same hash", async () => {
    const tree = fc.dictionary(fc.stringMatching(/^[ab]{1,2}$/), fc.stringMatching(/^[ab]{0,2}$/), { maxKeys: 3 });
    const seen = new Map<string, string>();
    await fc.assert(
      fc.asyncProperty(tree, async (files) => {
        rmSync(at("d"), { recursive: true });
        mkdirSync(at("d"));
        for (const [name, content] of Object.entries(files)) put(name, content);
        const outcome = await hashDirectory(at("d"), hasher);
        const text = JSON.stringify(Object.entries(files).sort());
        const key = "sha256" in outcome ? outcome.sha256 : "";
        expect(seen.get(key) ?? text).toBe(text);
        seen.set(key, text);
      }),
      { numRuns: 100 },
    );
  });
});
