import { strict as assert } from "node:assert";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseBundle } from "@secai/formats/bundle";
import { KEY_ALGORITHMS } from "@secai/formats/keys";
import { verifyMessageBundle } from "@secai/formats/signature";
import { afterAll, test } from "vitest";
import { decryptKey, encryptKey } from "./encrypted-key.ts";
import { generateSigningKey } from "./generate-key.ts";
import { loadSigningKey, saveSigningKey } from "./key-file.ts";
import { signBlob } from "./sign.ts";

const scratch = mkdtempSync(join(tmpdir(), "secai-encrypted-"));
afterAll(() => rmSync(scratch, { recursive: true }));
let files = 0;
const fresh = () => join(scratch, `${files++}.key`);
function keyFile(content: string): string {
  const path = fresh();
  writeFileSync(path, content, { mode: 0o600 });
  return path;
}
const say = (passphrase: string) => async () => Buffer.from(passphrase);

/** Made here; that cosign's own keys open, and ours open in cosign, is shown with cosign itself in test/contract/sign. */
const made = generateSigningKey("ecdsa-p256");
const ENCRYPTED = await encryptKey(made.privateKey.export({ type: "pkcs8", format: "der" }), Buffer.from("test"));

type Json = Record<string, Record<string, unknown>>;
const inside = (pem: string) => JSON.parse(Buffer.from(pem.split("\n").slice(1, -2).join(""), "base64").toString()) as Json;
function outside(value: unknown, label = "SIGSTORE"): string {
  const lines =
    Buffer.from(JSON.stringify(value))
      .toString("base64")
      .match(/.{1,64}/g) ?? [];
  return [`-----BEGIN ENCRYPTED ${label} PRIVATE KEY-----`, ...lines, `-----END ENCRYPTED ${label} PRIVATE KEY-----`, ""].join(
    "\n",
  );
}
const withParams = (params: object) => outside({ ...inside(ENCRYPTED), kdf: { ...inside(ENCRYPTED).kdf, params } });
const withCipher = (cipher: object) => outside({ ...inside(ENCRYPTED), cipher: { ...inside(ENCRYPTED).cipher, ...cipher } });

const unusable: Readonly<Record<string, string>> = {
  "another cipher": withCipher({ name: "aes-256-gcm" }),
  "a short nonce": withCipher({ nonce: "AAAA" }),
  "scrypt that takes a gigabyte": withParams({ N: 1_048_576, r: 8, p: 1 }),
  "scrypt with a wide block": withParams({ N: 65_536, r: 1024, p: 1 }),
  "scrypt in many lanes": withParams({ N: 65_536, r: 8, p: 1000 }),
  "scrypt that takes nothing": withParams({ N: 2, r: 8, p: 1 }),
  "scrypt with N as text": withParams({ N: "65536", r: 8, p: 1 }),
  "an unknown member": outside({ ...inside(ENCRYPTED), more: 1 }),
  "no JSON": outside("x").replace(/^[A-Za-z0-9+/=]+$/m, "eA=="),
  "text after the key": `${ENCRYPTED}x`,
  "two labels": ENCRYPTED.replace("END ENCRYPTED SIGSTORE", "END ENCRYPTED COSIGN"),
};
for (const [name, content] of Object.entries(unusable)) {
  test(`an encrypted key with ${name} is refused`, () =>
    assert.rejects(loadSigningKey(keyFile(content), { passphrase: say("test") }), { code: "KEY_UNUSABLE" }));
}

for (const passphrase of ["", "Test", "test\n", "tes"]) {
  test(`${JSON.stringify(passphrase)} does not open the key of "test"`, () =>
    assert.rejects(loadSigningKey(keyFile(ENCRYPTED), { passphrase: say(passphrase) }), { code: "KEY_PASSPHRASE_WRONG" }));
}

test("a changed ciphertext is refused as a wrong passphrase is", () => {
  const value = inside(ENCRYPTED);
  const sealed = Buffer.from(String(value.ciphertext), "base64");
  sealed.writeUInt8(sealed.readUInt8(40) ^ 1, 40);
  const changed = outside({ ...value, ciphertext: sealed.toString("base64") });
  return assert.rejects(loadSigningKey(keyFile(changed), { passphrase: say("test") }), { code: "KEY_PASSPHRASE_WRONG" });
});

test("an encrypted key without anybody to ask is refused", () =>
  assert.rejects(loadSigningKey(keyFile(ENCRYPTED)), { code: "KEY_ENCRYPTED" }));

test("something that is no key under the right passphrase is refused", async () => {
  const path = keyFile(await encryptKey(Buffer.from("no key"), Buffer.from("test")));
  await assert.rejects(loadSigningKey(path, { passphrase: say("test") }), { code: "KEY_UNUSABLE" });
});

test("an encrypted key opens, under its old label too, and its passphrase is wiped", async () => {
  const passphrase = Buffer.from("test");
  const asked: string[] = [];
  const path = keyFile(ENCRYPTED);
  const key = await loadSigningKey(path, {
    passphrase: async (question) => {
      asked.push(question);
      return passphrase;
    },
  });
  assert.equal(key.publicPem, made.publicPem);
  assert.deepEqual(asked, [`Passphrase of ${path}: `]);
  assert.deepEqual(passphrase, Buffer.alloc(4));
  const old = keyFile(ENCRYPTED.replaceAll("SIGSTORE", "COSIGN"));
  assert.equal((await loadSigningKey(old, { passphrase: say("test") })).publicPem, made.publicPem);
});

test("the passphrase of a plain key is not asked for", async () => {
  const path = fresh();
  await saveSigningKey(path, generateSigningKey("ecdsa-p256"));
  await loadSigningKey(path, { passphrase: () => assert.fail("asked") });
});

for (const algorithm of KEY_ALGORITHMS) {
  for (const passphrase of [undefined, "p\u00e4ss word"]) {
    test(`a new ${algorithm} key ${passphrase === undefined ? "in the clear" : "under a passphrase"} is the same key when read`, async () => {
      const key = generateSigningKey(algorithm);
      const path = fresh();
      await saveSigningKey(path, key, passphrase === undefined ? undefined : Buffer.from(passphrase));
      assert.equal(statSync(path).mode & 0o777, 0o600);
      assert.equal(
        /^-----BEGIN (ENCRYPTED SIGSTORE )?PRIVATE KEY-----$/m.exec(readFileSync(path, "utf8"))?.[1] !== undefined,
        passphrase !== undefined,
      );
      const read = await loadSigningKey(path, passphrase === undefined ? {} : { passphrase: say(passphrase) });
      assert.equal(read.fingerprint, key.fingerprint);
      const bundle = parseBundle(signBlob(Buffer.from("data"), read));
      assert.ok(bundle.kind === "message");
      verifyMessageBundle(bundle, Buffer.from("data"), key);
      await assert.rejects(saveSigningKey(path, key), { code: "KEY_EXISTS" });
    });
  }
}

test("two encryptions of one key have nothing in common", async () => {
  const [first, second] = await Promise.all([1, 2].map(() => encryptKey(Buffer.alloc(100), Buffer.from("test"))));
  assert.ok(first !== undefined && second !== undefined);
  assert.notEqual(inside(first).ciphertext, inside(second).ciphertext);
  assert.notEqual(inside(first).kdf?.salt, inside(second).kdf?.salt);
  assert.deepEqual(await decryptKey(first, Buffer.from("test")), Buffer.alloc(100));
});
