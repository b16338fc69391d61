import { appendFile, chmod, cp, mkdir, mkdtemp, readdir, readFile, rm, truncate, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Sha256 } from "../../../attest/formats/digest.ts";
import { type Cache, createCache, entryKeys } from "../../../pipelines/engine/cache.ts";
import { runCache } from "../../../pipelines/engine/command.ts";
import { joinLock, lockFile, tryLockFile } from "../../../pipelines/engine/lock.ts";
import { mountNames, mountsIdentity } from "../../../pipelines/engine/mounts.ts";
import type { StepRecord } from "../../../pipelines/step.ts";
import { collectEvents, fetchStep, output, planOf, ranSteps, scriptStep, type Workspace, withWorkspace } from "./fixture.ts";
import { localEngine } from "./local-engine.ts";

const plan = planOf([
  fetchStep("fetch", ["f"]),
  scriptStep("tree", "mkdir /out/tree; echo x > /out/tree/f", { made: ["tree/"] }),
  scriptStep("file", "cat /in/tree/f /in/f/f > /out/result", {
    inputs: { "/in/tree": output("tree", "tree"), "/in/f": { kind: "fetched", step: "fetch" } },
  }),
]);

/**
 * An engine object stays joined to its cache for as long as its process lives, and removal needs the cache alone. So the fixture
 * cache is made once, and each test works on a copy that nobody uses.
 */
let original: { readonly cacheDir: string; readonly records: readonly StepRecord[] };
let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "secai-cache-"));
  await withWorkspace(async (workspace) => {
    const { records } = await localEngine(workspace).run(plan, { report: () => {} });
    original = { cacheDir: join(folder, "cache"), records };
    await cp(workspace.cacheDir, original.cacheDir, { recursive: true, preserveTimestamps: true });
  });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function withCopy(work: (cache: Cache, workspace: Workspace) => Promise<void>): Promise<void> {
  await withWorkspace(async (workspace) => {
    await cp(original.cacheDir, workspace.cacheDir, { recursive: true, preserveTimestamps: true });
    await work(createCache(workspace.cacheDir), workspace);
  });
}

async function command(cache: Cache, ...args: string[]): Promise<{ status: number; text: string }> {
  const printed: string[] = [];
  const status = await runCache(args, { env: { SECAI_CACHE: cache.directory }, stdout: (part) => void printed.push(part) });
  return { status, text: printed.join("") };
}

async function ranAgain(workspace: Workspace): Promise<string[]> {
  const { events, report } = collectEvents();
  await localEngine(workspace).run(plan, { report });
  return ranSteps(events);
}

const keyOf = (id: string): Sha256 => original.records.find((record) => record.id === id)?.key as Sha256;

describe("an entry that is not whole is not used", () => {
  const damages: readonly { readonly name: string; readonly damage: (cache: Cache, entry: string) => Promise<void> }[] = [
    { name: "no record", damage: (_, entry) => rm(join(entry, "record.json")) },
    { name: "an empty record", damage: (_, entry) => truncateRecord(entry, 0) },
    { name: "half a record", damage: (_, entry) => truncateRecord(entry, 100) },
    {
      name: "one byte after the record",
      damage: (_, entry) => writable(join(entry, "record.json"), (path) => appendFile(path, " ")),
    },
    { name: "an altered record", damage: (_, entry) => alterRecord(entry, '"size":', '"size":1') },
    { name: "a record with a key twice", damage: (_, entry) => alterRecord(entry, '"schema":1', '"schema":1,"schema":1') },
    { name: "the record of another step", damage: (cache, entry) => copyRecord(cache, entry) },
    { name: "no output", damage: (cache) => rm(cache.outputPath(keyOf("file"), "result")) },
    { name: "a cut output", damage: (cache) => writable(cache.outputPath(keyOf("file"), "result"), (path) => truncate(path, 1)) },
    { name: "a folder for a file", damage: (cache) => replaceByFolder(cache.outputPath(keyOf("file"), "result")) },
  ];
  for (const { name, damage } of damages) {
    test(name, () =>
      withCopy(async (cache, workspace) => {
        await damage(cache, join(cache.directory, "steps", keyOf("file")));
        expect(await cache.lookup(keyOf("file"))).toBeUndefined();
        expect((await command(cache, "verify")).status).toBe(1);
        expect((await command(cache, "verify")).status).toBe(0);
        expect(await ranAgain(workspace)).toEqual(["file"]);
      }),
    );
  }
});

describe("cache verify", () => {
  test("finds nothing in a sound cache", () =>
    withCopy(async (cache) => {
      const { status, text } = await command(cache, "verify", "--json");
      expect(status).toBe(0);
      expect(JSON.parse(text)).toMatchObject({ items: 4, bad: [] });
    }));

  const silent: readonly { readonly name: string; readonly path: (cache: Cache) => Promise<string>; readonly runs: string[] }[] =
    [
      { name: "a changed byte in an output", path: async (cache) => cache.outputPath(keyOf("file"), "result"), runs: ["file"] },
      {
        name: "a changed byte in a tree",
        path: async (cache) => join(cache.outputPath(keyOf("tree"), "tree"), "f"),
        runs: ["tree"],
      },
      { name: "a changed byte in a blob", path: onlyBlob, runs: [] },
    ];
  for (const { name, path, runs } of silent) {
    test(`removes ${name}, and the next run makes it anew`, () =>
      withCopy(async (cache, workspace) => {
        await writable(await path(cache), flipFirstByte);
        const { status, text } = await command(cache, "verify");
        expect([status, text.split("\n")[0]]).toEqual([1, expect.stringContaining("removed")]);
        expect(await ranAgain(workspace)).toEqual(runs);
      }));
  }

  test("a changed mode in a tree is damage too", () =>
    withCopy(async (cache) => {
      await chmod(join(cache.outputPath(keyOf("tree"), "tree"), "f"), 0o600);
      expect((await command(cache, "verify")).status).toBe(1);
    }));
});

describe("folders that steps keep between runs", () => {
  const counting = planOf([
    scriptStep("count", "echo x >> /cache/x; cp /cache/x /out/result", { caches: { "/cache": { name: "ccache" } } }),
  ]);
  const withMount = (work: (cache: Cache) => Promise<void>) =>
    withWorkspace(async (workspace) => {
      await localEngine(workspace).run(counting, { report: () => {} });
      await withWorkspace(async ({ cacheDir }) => {
        await cp(workspace.cacheDir, cacheDir, { recursive: true, preserveTimestamps: true });
        await work(createCache(cacheDir));
      });
    });

  test("are listed with their size, and verify leaves them alone", () =>
    withMount(async (cache) => {
      const { items } = JSON.parse((await command(cache, "ls", "--json")).text) as { items: object[] };
      expect(items).toContainEqual(expect.objectContaining({ kind: "mount", name: "ccache", sizeBytes: 2 }));
      expect((await command(cache, "verify")).status).toBe(0);
      expect(await mountNames(cache)).toEqual(["ccache"]);
    }));

  test("gc --mounts removes them and nothing else, and their identity with them", () =>
    withMount(async (cache) => {
      const before = await mountsIdentity(cache);
      expect(await mountsIdentity(cache)).toBe(before);
      const { removed } = JSON.parse((await command(cache, "gc", "--mounts", "--json")).text) as { removed: object[] };
      expect(removed).toEqual([expect.objectContaining({ kind: "mount", name: "ccache" })]);
      expect(await mountNames(cache)).toEqual([]);
      expect(await entryKeys(cache)).toHaveLength(1);
      expect(await mountsIdentity(cache)).not.toBe(before);
    }));

  test("gc --max-size counts and removes them as everything else", () =>
    withMount(async (cache) => {
      await command(cache, "gc", "--max-size", "0");
      expect(await mountNames(cache)).toEqual([]);
    }));
});

describe("cache gc", () => {
  test("removes the least recently used first, until the rest fits", () =>
    withCopy(async (cache) => {
      for (const [age, id] of ["fetch", "tree", "file"].entries()) await usedAt(cache, id, new Date(2020, 0, 1 + age));
      const before = JSON.parse((await command(cache, "ls", "--json")).text) as Listing;
      const max = before.sizeBytes - 1;
      const { text } = await command(cache, "gc", "--max-size", String(max), "--json");
      const { removed, keptBytes } = JSON.parse(text) as { removed: { name: string }[]; keptBytes: number };
      expect(removed.map(({ name }) => name)).toEqual(["fetch"]);
      expect(keptBytes).toBeLessThanOrEqual(max);
    }));

  test("use makes an entry young again", () =>
    withCopy(async (cache) => {
      for (const id of ["fetch", "tree", "file"]) await usedAt(cache, id, new Date(2020, 0, 1));
      await cache.lookup(keyOf("tree"));
      const { items } = JSON.parse((await command(cache, "ls", "--json")).text) as Listing;
      expect(items.findIndex(({ name }) => name === "tree")).toBeGreaterThan(1);
    }));

  test("--max-size 0 empties the cache, and the next run makes everything", () =>
    withCopy(async (cache, workspace) => {
      expect((await command(cache, "gc", "--max-size", "0")).status).toBe(0);
      expect(await readdir(join(cache.directory, "steps"))).toEqual([]);
      expect(await ranAgain(workspace)).toEqual(["fetch", "tree", "file"]);
    }));

  test("what other steps left of it goes too: sources, programs, unfinished downloads", () =>
    withCopy(async (cache) => {
      for (const folder of ["sources/0", "programs", "blobs/partial"])
        await mkdir(join(cache.directory, folder), { recursive: true });
      for (const file of ["sources/0/content", "programs/p.mjs", "blobs/partial/x"])
        await writeFile(join(cache.directory, file), "x");
      await command(cache, "gc", "--max-size", "0");
      const { items } = JSON.parse((await command(cache, "ls", "--json")).text) as Listing;
      expect(items).toEqual([]);
    }));

  test("nothing is removed while another run uses the cache", () =>
    withCopy(async (cache) => {
      const run = await joinLock(cache.useLockPath, async () => {});
      await expect(command(cache, "gc", "--max-size", "0")).rejects.toMatchObject({ code: "CACHE_BUSY" });
      await expect(command(cache, "verify")).rejects.toMatchObject({ code: "CACHE_BUSY" });
      await run.release();
      expect((await command(cache, "gc", "--max-size", "0")).status).toBe(0);
    }));

  test("a run that starts alone keeps the cache below its limit", () =>
    withCopy(async (cache, workspace) => {
      await mkdir(join(cache.directory, "tmp", "left"), { recursive: true });
      await utimes(join(cache.directory, "collected"), new Date(0), new Date(0));
      await localEngine(workspace, 1, 0).run(planOf([]), { report: () => {} });
      expect(await readdir(join(cache.directory, "steps"))).toEqual([]);
      expect(await readdir(join(cache.directory, "tmp"))).toEqual([]);
    }));
});

test("runs collect at most once an hour, and remove leftovers each time", () =>
  withCopy(async (cache, workspace) => {
    await mkdir(join(cache.directory, "tmp", "left"), { recursive: true });
    await localEngine(workspace, 1, 0).run(planOf([]), { report: () => {} });
    expect(await readdir(join(cache.directory, "steps"))).toHaveLength(3);
    expect(await readdir(join(cache.directory, "tmp"))).toEqual([]);
  }));

describe("cache command line", () => {
  const wrong = [
    [],
    ["list"],
    ["ls", "more"],
    ["gc", "--max-size", "many"],
    ["gc", "--max-size", "-1"],
    ["ls", "--max-size", "1"],
    ["ls", "--mounts"],
    ["gc", "--mounts", "--max-size", "1"],
    ["--what"],
  ];
  for (const args of wrong) {
    test(`refuses "${args.join(" ")}"`, () =>
      withCopy((cache) => expect(command(cache, ...args)).rejects.toMatchObject({ code: "CACHE_USAGE" })));
  }

  test("--help shows examples", () =>
    withCopy(async (cache) =>
      expect((await command(cache, "--help")).text).toContain("scripts/secai cache gc --max-size 10GiB"),
    ));

  test("ls names each item and the whole", () =>
    withCopy(async (cache) => {
      const { text } = await command(cache, "ls");
      expect(text).toMatch(/ step +tree\n/);
      expect(text).toMatch(/^4 items, .* in /m);
    }));
});

describe("locks", () => {
  test("one holder at a time, the next one waits", () =>
    withCopy(async (cache) => {
      const path = cache.lockPath(keyOf("file"));
      const first = await lockFile(path);
      expect(await tryLockFile(path)).toBeUndefined();
      const second = lockFile(path);
      await first.release();
      await (await second).release();
      await (await tryLockFile(path))?.release();
    }));

  test("a wait for it can be stopped, and leaves the lock free", () =>
    withCopy(async (cache) => {
      const path = cache.lockPath(keyOf("file"));
      const first = await lockFile(path);
      const stop = new AbortController();
      const waiting = lockFile(path, stop.signal);
      stop.abort();
      await expect(waiting).rejects.toMatchObject({ code: "BUILD_CANCELLED" });
      await first.release();
      await (await lockFile(path)).release();
    }));

  test("several join; only the first was alone", () =>
    withCopy(async (cache) => {
      let alone = 0;
      const count = async () => {
        alone += 1;
      };
      const members = [await joinLock(cache.useLockPath, count), await joinLock(cache.useLockPath, count)];
      expect(alone).toBe(1);
      for (const member of members) await member.release();
    }));

  test("a lock in a place that cannot be written is CACHE_LOCK_FAILED", () =>
    expect(lockFile("/proc/no-lock")).rejects.toMatchObject({ code: "CACHE_LOCK_FAILED" }));
});

interface Listing {
  readonly sizeBytes: number;
  readonly items: readonly { readonly name: string }[];
}

async function writable(path: string, change: (path: string) => Promise<void>): Promise<void> {
  await chmod(path, 0o644);
  await change(path);
}

async function flipFirstByte(path: string): Promise<void> {
  const bytes = await readFile(path);
  bytes[0] = (bytes[0] ?? 0) ^ 1;
  await writeFile(path, bytes);
}

const truncateRecord = (entry: string, length: number): Promise<void> =>
  writable(join(entry, "record.json"), (path) => truncate(path, length));

const alterRecord = (entry: string, from: string, to: string): Promise<void> =>
  writable(join(entry, "record.json"), async (path) => writeFile(path, (await readFile(path, "utf8")).replace(from, to)));

async function copyRecord(cache: Cache, entry: string): Promise<void> {
  await cp(join(cache.directory, "steps", keyOf("tree"), "record.json"), join(entry, "record.json"), { force: true });
}

async function replaceByFolder(path: string): Promise<void> {
  await rm(path);
  await mkdir(path);
}

async function onlyBlob(cache: Cache): Promise<string> {
  const top = join(cache.directory, "blobs", "sha256");
  const names = await readdir(top, { recursive: true });
  return join(top, names.find((name) => name.includes("/")) ?? "");
}

async function usedAt(cache: Cache, id: string, time: Date): Promise<void> {
  await utimes(join(cache.directory, "steps", keyOf(id), "record.json"), time, time);
}
