import { chmod, link, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { readBounded, readCredential, writeAtomic } from "./files.ts";

const secret = "0123456789abcdef".repeat(4);
let directory: string;
let path: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "secai-files-"));
  path = join(directory, "x.token");
});
afterEach(() => rm(directory, { recursive: true }));

const refused: readonly { name: string; code?: string; make: () => Promise<unknown> }[] = [
  { name: "no file", code: "CREDENTIAL_MISSING", make: async () => undefined },
  { name: "a directory", code: "CREDENTIAL_MISSING", make: () => mkdir(path) },
  {
    name: "a symbolic link",
    code: "CREDENTIAL_MISSING",
    make: () => write("y", secret).then(() => symlink(join(directory, "y"), path)),
  },
  { name: "a hard link", make: () => write("y", secret).then(() => link(join(directory, "y"), path)) },
  { name: "an empty file", make: () => write("x.token", "") },
  { name: "63 digits", make: () => write("x.token", secret.slice(1)) },
  { name: "65 digits", make: () => write("x.token", `${secret}0`) },
  { name: "upper case", make: () => write("x.token", secret.toUpperCase()) },
  { name: "two newlines", make: () => write("x.token", `${secret}\n\n`) },
  { name: "a carriage return", make: () => write("x.token", `${secret}\r`) },
  { name: "a leading space", make: () => write("x.token", ` ${secret.slice(1)}`) },
  { name: "a file that the group can write", make: () => write("x.token", secret).then(() => chmod(path, 0o660)) },
  { name: "a file that all can read", make: () => write("x.token", secret).then(() => chmod(path, 0o644)) },
  { name: "an executable file", make: () => write("x.token", secret).then(() => chmod(path, 0o700)) },
];

async function write(name: string, text: string): Promise<void> {
  await writeFile(join(directory, name), text, { mode: 0o600 });
}

describe("readCredential refuses", () => {
  for (const { name, code = "CREDENTIAL_MALFORMED", make } of refused) {
    test(name, async () => {
      await make();
      await expect(readCredential(path)).rejects.toMatchObject({ code });
    });
  }
});

test("readCredential takes 64 digits with or without a newline", async () => {
  await write("x.token", `${secret}\n`);
  expect(await readCredential(path)).toBe(secret);
  await write("x.token", secret);
  await chmod(path, 0o400);
  expect(await readCredential(path)).toBe(secret);
});

test("readBounded counts what it reads, not what stat says", async () => {
  await write("x.token", "12345");
  expect((await readBounded(path, 5)).toString()).toBe("12345");
  await expect(readBounded(path, 4)).rejects.toMatchObject({ code: "FILE_TOO_LARGE" });
  await expect(readBounded("/proc/self/status", 100)).rejects.toMatchObject({ code: "FILE_TOO_LARGE" });
});

test("writeAtomic replaces the file and leaves nothing else, also over a left-over temporary file", async () => {
  await write("x.token", "old");
  await write("x.token.new", "left over");
  await writeAtomic(path, "new", 0o600);
  expect(await readFile(path, "utf8")).toBe("new");
  await expect(readFile(`${path}.new`)).rejects.toMatchObject({ code: "ENOENT" });
});
