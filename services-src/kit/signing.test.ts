import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { credentialNames, signingKeys } from "./credential-names.ts";
import { ensurePublicKey } from "./credentials.ts";
import { createSigner, isSignedBy, readPublicKey } from "./signing.ts";

const folder = mkdtempSync(join(tmpdir(), "secai-signing-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

// RFC 8032, section 7.1, test 1.
const SEED = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
const PUBLIC = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

const nextLetter = (end: string): string => String.fromCharCode(end.charCodeAt(0) + 1);

function seedFile(name: string, seed: string): string {
  writeFileSync(join(folder, name), `${seed}\n`, { mode: 0o600 });
  return name;
}

test("a credential is the seed of the key that RFC 8032 derives from it", async () => {
  await ensurePublicKey(folder, seedFile("one.key", SEED), "one.pub");
  const key = await readPublicKey(join(folder, "one.pub"));
  expect(key.export({ format: "jwk" }).x).toBe(Buffer.from(PUBLIC, "hex").toString("base64url"));
});

describe("a signature", () => {
  const signer = createSigner(SEED);
  const value = { b: 1, a: ["x"] };
  const signature = signer.sign("domain", value);
  test("holds for the value, whatever the order of its members", async () => {
    await ensurePublicKey(folder, seedFile("two.key", SEED), "two.pub");
    expect(isSignedBy(await readPublicKey(join(folder, "two.pub")), "domain", { a: ["x"], b: 1 }, signature)).toBe(true);
  });
  const spellings: readonly { readonly name: string; readonly spell: (text: string) => string }[] = [
    { name: "its last letter's spare bits set", spell: (text) => text.replace(/.==$/, (end) => `${nextLetter(end)}==`) },
    { name: "without padding", spell: (text) => text.replace(/=+$/, "") },
    { name: "a line break", spell: (text) => `${text}\n` },
    { name: "blanks inside", spell: (text) => `${text.slice(0, 8)}  ${text.slice(8)}` },
    { name: "more after its end", spell: (text) => `${text}AAAA` },
    { name: "the URL alphabet", spell: (text) => text.replaceAll("+", "-").replaceAll("/", "_") },
  ];
  for (const { name, spell } of spellings)
    test(`does not hold in another spelling: ${name}`, async () => {
      await ensurePublicKey(folder, seedFile("spelt.key", SEED), "spelt.pub");
      const key = await readPublicKey(join(folder, "spelt.pub"));
      const spelt = spell(signature);
      expect(spelt).not.toBe(signature);
      expect(Buffer.from(spelt, "base64")).toEqual(Buffer.from(signature, "base64"));
      expect([isSignedBy(key, "domain", value, signature), isSignedBy(key, "domain", value, spelt)]).toEqual([true, false]);
    });
  for (const [what, domain, other, seed] of [
    ["another domain", "domain2", value, SEED],
    ["another value", "domain", { ...value, b: 2 }, SEED],
    ["another key", "domain", value, "11".repeat(32)],
  ] as const)
    test(`does not hold for ${what}`, async () => {
      const name = what.replace(" ", "-");
      await ensurePublicKey(folder, seedFile(`${name}.key`, seed), `${name}.pub`);
      expect(isSignedBy(await readPublicKey(join(folder, `${name}.pub`)), domain, other, signature)).toBe(false);
    });
});

describe("a public key", () => {
  test("is written once and kept", async () => {
    seedFile("kept.key", SEED);
    expect(await ensurePublicKey(folder, "kept.key", "kept.pub")).toBe("created");
    expect(await ensurePublicKey(folder, "kept.key", "kept.pub")).toBe("kept");
  });
  test("of another key is refused, not replaced", async () => {
    await ensurePublicKey(folder, seedFile("mine.key", SEED), "mine.pub");
    seedFile("mine.key", "22".repeat(32));
    const before = readFileSync(join(folder, "mine.pub"), "utf8");
    await expect(ensurePublicKey(folder, "mine.key", "mine.pub")).rejects.toMatchObject({ code: "PUBLIC_KEY_MISMATCH" });
    expect(readFileSync(join(folder, "mine.pub"), "utf8")).toBe(before);
  });
  for (const [what, text] of [
    ["nothing", ""],
    ["a private key", "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA==\n-----END PRIVATE KEY-----\n"],
    ["garbage in PEM", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"],
  ] as const)
    test(`that is ${what} is refused`, async () => {
      writeFileSync(join(folder, "bad.pub"), text);
      await expect(readPublicKey(join(folder, "bad.pub"))).rejects.toMatchObject({ code: "PUBLIC_KEY_MALFORMED" });
    });
});

test("no two capabilities share a file", () => {
  expect(new Set(credentialNames).size).toBe(credentialNames.length);
  for (const name of signingKeys) expect(credentialNames).toContain(name);
});
