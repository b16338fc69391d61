import { strict as assert } from "node:assert";
import { generateKeyPairSync } from "node:crypto";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseBundle } from "@secai/formats/bundle";
import { sha256 } from "@secai/formats/digest";
import { parsePublicKey } from "@secai/formats/keys";
import { verifyMessageBundle, verifyStatementBundle } from "@secai/formats/signature";
import { buildStatement, statementBytes, subjectOf } from "@secai/formats/statement";
import { afterAll, test } from "vitest";
import { loadSigningKey } from "./key-file.ts";
import { signBlob, signStatement } from "./sign.ts";

const scratch = mkdtempSync(join(tmpdir(), "secai-sign-"));
afterAll(() => rmSync(scratch, { recursive: true }));

const pemOf = (curve: string) =>
  generateKeyPairSync("ec", { namedCurve: curve }).privateKey.export({ type: "pkcs8", format: "pem" }).toString();
function keyFile(name: string, content: string | Buffer, mode = 0o600): string {
  const path = join(scratch, name);
  writeFileSync(path, content, { mode });
  chmodSync(path, mode);
  return path;
}
const good = keyFile("good.key", pemOf("P-256"));
const statement = buildStatement("urn:test", [subjectOf("x", sha256("x"))], { a: 1 });

const refused: readonly { readonly name: string; readonly code: string; readonly path: () => string }[] = [
  { name: "a key that is not there", code: "KEY_MISSING", path: () => join(scratch, "none") },
  { name: "a key that its group can read", code: "KEY_EXPOSED", path: () => keyFile("group.key", pemOf("P-256"), 0o640) },
  { name: "a key that everybody can read", code: "KEY_EXPOSED", path: () => keyFile("all.key", pemOf("P-256"), 0o644) },
  { name: "a key that can be run", code: "KEY_EXPOSED", path: () => keyFile("run.key", pemOf("P-256"), 0o700) },
  {
    name: "a symbolic link to a key",
    code: "KEY_EXPOSED",
    path: () => {
      symlinkSync(good, join(scratch, "link.key"));
      return join(scratch, "link.key");
    },
  },
  {
    name: "a directory",
    code: "KEY_EXPOSED",
    path: () => {
      mkdirSync(join(scratch, "dir.key"));
      return join(scratch, "dir.key");
    },
  },
  { name: "a key of another curve", code: "KEY_UNUSABLE", path: () => keyFile("p384.key", pemOf("P-384")) },
  { name: "a public key", code: "KEY_UNUSABLE", path: () => keyFile("public.key", "-----BEGIN PUBLIC KEY-----\n") },
  { name: "an empty file", code: "KEY_UNUSABLE", path: () => keyFile("empty.key", "") },
  { name: "a large file", code: "KEY_UNUSABLE", path: () => keyFile("large.key", Buffer.alloc(20_000)) },
];
for (const { name, code, path } of refused) {
  test(`loadSigningKey refuses ${name}`, () => assert.rejects(loadSigningKey(path()), { code }));
}

test("a signed statement verifies under its key, and its payload is the statement's bytes", async () => {
  const key = await loadSigningKey(good);
  const bundle = parseBundle(await signStatement(statement, key));
  assert.ok(bundle.kind === "statement");
  assert.deepEqual(verifyStatementBundle(bundle, key), statementBytes(statement));
  const other = await loadSigningKey(keyFile("other.key", pemOf("P-256")));
  assert.throws(() => verifyStatementBundle(bundle, other), { code: "SIGNATURE_INVALID" });
  const payload = Buffer.from(bundle.payload);
  payload.writeUInt8(payload.readUInt8(0) ^ 1, 0);
  assert.throws(() => verifyStatementBundle({ ...bundle, payload }, key), { code: "SIGNATURE_INVALID" });
});

test("a signed file verifies under its key, and no other file does", async () => {
  const key = await loadSigningKey(good);
  const bundle = parseBundle(signBlob(Buffer.from("data"), key));
  assert.ok(bundle.kind === "message");
  verifyMessageBundle(bundle, Buffer.from("data"), parsePublicKey(Buffer.from(key.publicPem)));
  assert.throws(() => verifyMessageBundle(bundle, Buffer.from("Data"), key), { code: "SIGNATURE_INVALID" });
});

test("a statement that no reader would accept is not signed", async () => {
  const key = await loadSigningKey(good);
  await assert.rejects(signStatement(buildStatement("urn:test", [], {}), key), { code: "SCHEMA_MISMATCH" });
});

test("a key whose halves do not belong together signs nothing", async () => {
  const key = await loadSigningKey(good);
  const other = await loadSigningKey(keyFile("half.key", pemOf("P-256")));
  assert.throws(() => signBlob(Buffer.from("data"), { ...key, publicPem: other.publicPem }), { code: "SIGNATURE_UNVERIFIED" });
});
