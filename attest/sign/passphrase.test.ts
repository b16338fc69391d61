import { strict as assert } from "node:assert";
import { mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, test } from "vitest";
import { newPassphrase, parseFd, passphraseSource, readSecret } from "./passphrase.ts";

const scratch = mkdtempSync(join(tmpdir(), "secai-passphrase-"));
afterAll(() => rmSync(scratch, { recursive: true }));
function holding(content: string | Buffer): number {
  const path = join(scratch, "secret");
  writeFileSync(path, content, { mode: 0o600 });
  return openSync(path, "r");
}

for (const text of ["", "1", "2", "-1", "3.0", "03", "0x3", "1e1", " 3", "3 ", "10000", "stdin"]) {
  test(`${JSON.stringify(text)} is no descriptor for a secret`, () =>
    assert.throws(() => parseFd(text), { code: "PASSPHRASE_UNAVAILABLE" }));
}
test("standard input and further descriptors may carry a secret", () =>
  assert.deepEqual(["0", "3", "9", "10", "255"].map(parseFd), [0, 3, 9, 10, 255]));

const unreadable: Readonly<Record<string, () => number>> = {
  nothing: () => holding(""),
  "an empty line": () => holding("\n"),
  "more than a passphrase": () => holding("a".repeat(1025)),
  "much more than a passphrase": () => holding(Buffer.alloc(1 << 20, "a")),
  "a descriptor that is not open": () => 917,
  "a directory": () => openSync(scratch, "r"),
};
for (const [name, fd] of Object.entries(unreadable)) {
  test(`a passphrase from ${name} is refused`, () => assert.rejects(readSecret(fd()), { code: "PASSPHRASE_UNAVAILABLE" }));
}

test("a descriptor gives its bytes, less one line end", async () => {
  for (const [content, secret] of [
    ["one", "one"],
    ["one\n", "one"],
    ["one\n\n", "one\n"],
    [" two words ", " two words "],
    [`${"a".repeat(1024)}\n`, "a".repeat(1024)],
  ] as const)
    assert.equal((await passphraseSource({ fd: holding(content) })("")).toString(), secret);
  assert.equal((await newPassphrase({ fd: holding("new") }, "")).toString(), "new");
});
