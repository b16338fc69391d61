import { chmod, chown, cp, link, mkdir, mkdtemp, rename, rm, symlink, truncate, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { hashFileNow, hashFiles } from "./hash-files.ts";
import { copySource, sourceDigest } from "./source-digest.ts";
import { treeDigest } from "./tree-digest.ts";

let folder = "";
let count = 0;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "secai-tree-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function makeTree(): Promise<string> {
  count += 1;
  const tree = join(folder, String(count));
  await mkdir(join(tree, "d"), { recursive: true, mode: 0o755 });
  await writeFile(join(tree, "a"), "alpha", { mode: 0o644 });
  await writeFile(join(tree, "d", "b"), "beta", { mode: 0o644 });
  await symlink("a", join(tree, "l"));
  return tree;
}

const changes: readonly {
  readonly name: string;
  readonly source: boolean;
  readonly change: (tree: string) => Promise<unknown>;
}[] = [
  { name: "a changed byte", source: true, change: (tree) => writeFile(join(tree, "a"), "alphb") },
  { name: "a cut file", source: true, change: (tree) => truncate(join(tree, "a"), 4) },
  { name: "a new empty file", source: true, change: (tree) => writeFile(join(tree, "n"), "") },
  { name: "a new empty folder", source: true, change: (tree) => mkdir(join(tree, "n")) },
  { name: "a removed file", source: true, change: (tree) => rm(join(tree, "a")) },
  { name: "a renamed file", source: true, change: (tree) => rename(join(tree, "a"), join(tree, "c")) },
  { name: "a file in another folder", source: true, change: (tree) => rename(join(tree, "d", "b"), join(tree, "b")) },
  { name: "another link target", source: true, change: (tree) => rm(join(tree, "l")).then(() => symlink("b", join(tree, "l"))) },
  {
    name: "a copy for a link",
    source: true,
    change: (tree) => rm(join(tree, "l")).then(() => writeFile(join(tree, "l"), "alpha")),
  },
  { name: "an executable file", source: true, change: (tree) => chmod(join(tree, "a"), 0o755) },
  { name: "a mode bit for the group", source: false, change: (tree) => chmod(join(tree, "a"), 0o664) },
  { name: "a folder's mode", source: false, change: (tree) => chmod(join(tree, "d"), 0o700) },
  { name: "a set-user-id bit", source: false, change: (tree) => chmod(join(tree, "a"), 0o4644) },
];

describe("digests", () => {
  for (const { name, source, change } of changes) {
    test(`${name} changes the tree digest${source ? "" : ", not the source digest"}`, async () => {
      const tree = await makeTree();
      const before = { tree: (await treeDigest(tree)).digest, source: sourceDigest(tree) };
      await change(tree);
      expect((await treeDigest(tree)).digest).not.toBe(before.tree);
      expect(sourceDigest(tree) !== before.source).toBe(source);
    });
  }

  test("an owner changes the tree digest, not the source digest (needs uid 0)", async () => {
    const tree = await makeTree();
    const before = { tree: (await treeDigest(tree)).digest, source: sourceDigest(tree) };
    await chown(join(tree, "a"), 42, 43);
    expect((await treeDigest(tree)).digest).not.toBe(before.tree);
    expect(sourceDigest(tree)).toBe(before.source);
  });

  test("times and places do not count, nor whether names share an inode", async () => {
    const [one, two] = [await makeTree(), await makeTree()];
    await link(join(one, "a"), join(one, "hard"));
    await cp(join(two, "a"), join(two, "hard"));
    await utimes(join(two, "a"), 1, 1);
    expect(await treeDigest(one)).toEqual(await treeDigest(two));
    expect(sourceDigest(one)).toBe(sourceDigest(two));
  });

  test("a tree's size is that of its files, by name", async () => {
    expect(await treeDigest(await makeTree())).toMatchObject({ size: 9, entries: 5 });
  });

  test("a copy of a source has the modes its digest speaks of", async () => {
    const tree = await makeTree();
    await chmod(join(tree, "d"), 0o700);
    await chmod(join(tree, "a"), 0o600);
    const [one, two] = [join(folder, "copy-1"), join(folder, "copy-2")];
    copySource(tree, one);
    copySource(await makeTree(), two);
    expect(await treeDigest(one)).toEqual(await treeDigest(two));
    expect(sourceDigest(one)).toBe(sourceDigest(tree));
  });

  test("names that are not UTF-8 are told apart", async () => {
    const [one, two] = [await makeTree(), await makeTree()];
    await writeFile(Buffer.concat([Buffer.from(`${one}/`), Buffer.from([0xff])]), "");
    await writeFile(Buffer.concat([Buffer.from(`${two}/`), Buffer.from([0xfe])]), "");
    expect((await treeDigest(one)).digest).not.toBe((await treeDigest(two)).digest);
  });
});

test("many files are hashed by threads to the same digests, in order", async () => {
  const many = join(folder, "many");
  await mkdir(many);
  const files = await Promise.all(
    Array.from({ length: 700 }, async (_, index) => {
      const path = join(many, String(index));
      await writeFile(path, `content ${index}`);
      return { path: Buffer.from(path), size: `content ${index}`.length };
    }),
  );
  expect(await hashFiles(files)).toEqual(files.map(({ path, size }) => hashFileNow(path, size)));
});

test("a thread that cannot read a file fails the whole", async () => {
  const missing = Array.from({ length: 600 }, (_, index) => ({ path: Buffer.from(join(folder, `no-${index}`)), size: 1 }));
  await expect(hashFiles(missing)).rejects.toThrow("ENOENT");
});

test("large files are hashed in chunks to the digest of their content", async () => {
  const large = join(folder, "large");
  await writeFile(large, Buffer.alloc(3 << 20, 7));
  expect(hashFileNow(Buffer.from(large), 3 << 20)).toBe(hashFileNow(Buffer.from(large), 0));
});

test("two trees agree only if their names and contents do", async () => {
  const names = fc.uniqueArray(fc.stringMatching(/^[a-z]{1,3}$/), { minLength: 1, maxLength: 4 });
  const trees = fc.tuple(names, names, fc.string({ maxLength: 3 }), fc.string({ maxLength: 3 }));
  await fc.assert(
    fc.asyncProperty(trees, async ([left, right, leftContent, rightContent]) => {
      const digests = [await digestOfFiles(left, leftContent), await digestOfFiles(right, rightContent)];
      const same = leftContent === rightContent && [...left].sort().join() === [...right].sort().join();
      expect(digests[0] === digests[1]).toBe(same);
    }),
    { numRuns: 50 },
  );
});

async function digestOfFiles(names: readonly string[], content: string): Promise<string> {
  count += 1;
  const tree = join(folder, String(count));
  await mkdir(tree);
  for (const name of names) await writeFile(join(tree, name), content);
  return (await treeDigest(tree)).digest;
}
