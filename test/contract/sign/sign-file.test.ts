import { existsSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CodedError } from "@secai/formats/errors";
import { KEY_ALGORITHMS } from "@secai/formats/keys";
import { runSignFile } from "@secai/release/sign-file/command";
import { generateSigningKey } from "@secai/sign/generate-key";
import { saveSigningKey } from "@secai/sign/key-file";
import { runVerify } from "@secai/verify/command";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type PrivateSigstore, signingConfigOf, startPrivateSigstore, tokenOf } from "./private-sigstore.ts";

const ISSUER = "https://issuer.example";
const NAME = "https://ci.example/release@refs/tags/v1";
const dir = mkdtempSync(join(tmpdir(), "secai-sign-file-"));
const at = (name: string) => join(dir, name);
let sigstore: PrivateSigstore;

beforeAll(async () => {
  sigstore = await startPrivateSigstore();
  writeFileSync(at("root.json"), JSON.stringify(sigstore.trustedRoot));
  writeFileSync(at("config.json"), signingConfigOf(sigstore.url));
  writeFileSync(at("no-tsa.json"), signingConfigOf(sigstore.url, { tsaUrls: [] }));
  writeFileSync(at("predicate.json"), '{"clean":true}');
  writeFileSync(at("list.json"), "[]");
  for (const algorithm of KEY_ALGORITHMS) {
    const key = generateSigningKey(algorithm);
    await saveSigningKey(at(`${algorithm}.key`), key);
    writeFileSync(at(`${algorithm}.pub`), key.publicPem);
    await saveSigningKey(at(`${algorithm}.encrypted`), key, Buffer.from("secret"));
  }
});
afterAll(async () => {
  await sigstore.close();
  rmSync(dir, { recursive: true });
});

let files = 0;
function newFile(content = "data"): string {
  const path = at(`file-${files++}`);
  writeFileSync(path, content);
  return path;
}
async function run(args: readonly string[], env: Record<string, string> = {}) {
  const said: string[] = [];
  const io = { stdout: (text: string) => void said.push(text), stderr: () => undefined, env };
  try {
    const exit = await runSignFile(args, io);
    return { exit, out: said.join(""), code: "" };
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    return { exit: error.exit, out: said.join(""), code: error.code };
  }
}
const verify = (...args: readonly string[]) =>
  runVerify(["file", ...args], { stdout: () => undefined, stderr: () => undefined, env: {} });
const identity = ["--trusted-root", at("root.json"), "--identity", NAME, "--issuer", ISSUER];
const asIdentity = (config = "config.json") => ["--signing-config", at(config), ...identity];
const token = { SIGSTORE_ID_TOKEN: tokenOf({ iss: ISSUER, sub: NAME }) };

for (const algorithm of KEY_ALGORITHMS) {
  test(`a file signed with a ${algorithm} key is accepted by secai verify file, and a changed one is not`, async () => {
    const file = newFile();
    const signing = [file, "--signing-key", at(`${algorithm}.key`)];
    expect(await run(signing)).toMatchObject({ exit: 0, out: expect.stringContaining("would sign") });
    expect(existsSync(`${file}.sigstore.json`)).toBe(false);
    expect(await run([...signing, "--apply", "--json"])).toMatchObject({
      exit: 0,
      out: expect.stringContaining('"applied": true'),
    });
    expect(await verify(file, "--key", at(`${algorithm}.pub`))).toBe(0);
    writeFileSync(file, "Data");
    expect(await verify(file, "--key", at(`${algorithm}.pub`))).toBe(1);
    expect(await run([...signing, "--apply"])).toMatchObject({ code: "SIGN_BUNDLE_EXISTS" });
  });
  test(`a statement signed with an encrypted ${algorithm} key is accepted, for its type only`, async () => {
    const file = newFile();
    writeFileSync(at("secret"), "secret\n", { mode: 0o600 });
    const statement = ["--type", "urn:scan", "--predicate", at("predicate.json")];
    const fd = String(openSync(at("secret"), "r"));
    const signing = [file, "--signing-key", at(`${algorithm}.encrypted`), "--passphrase-fd", fd, ...statement, "--apply"];
    expect(await run(signing)).toMatchObject({ exit: 0 });
    expect(await verify(file, "--key", at(`${algorithm}.pub`), "--type", "urn:scan")).toBe(0);
    expect(await verify(file, "--key", at(`${algorithm}.pub`), "--type", "urn:scan2")).toBe(1);
  });
}

test("a file signed as an identity is accepted for that identity, and nothing is asked before --apply", async () => {
  const file = newFile();
  expect(await run([file, ...asIdentity()], token)).toMatchObject({ exit: 0, out: expect.stringContaining("would sign") });
  expect([...sigstore.asked.keys()]).toEqual([]);
  expect(await run([file, ...asIdentity(), "--apply"], token)).toMatchObject({ exit: 0, out: expect.stringContaining(NAME) });
  expect(await verify(file, ...identity)).toBe(0);
  expect(await verify(file, ...identity.with(3, `${NAME}0`))).toBe(1);
});

test("a statement as an identity, with the token from a descriptor", async () => {
  const file = newFile();
  writeFileSync(at("token"), `${token.SIGSTORE_ID_TOKEN}\n`, { mode: 0o600 });
  const fd = String(openSync(at("token"), "r"));
  const statement = ["--type", "urn:scan", "--predicate", at("predicate.json")];
  expect(await run([file, ...asIdentity(), "--identity-token-fd", fd, ...statement, "--apply"])).toMatchObject({ exit: 0 });
  expect(await verify(file, ...identity, "--type", "urn:scan")).toBe(0);
});

test("a token for somebody else leaves no bundle", async () => {
  const file = newFile();
  const other = { SIGSTORE_ID_TOKEN: tokenOf({ iss: ISSUER, sub: "https://other.example" }) };
  expect(await run([file, ...asIdentity(), "--apply"], other)).toMatchObject({ code: "SIGNATURE_UNVERIFIED" });
  expect(existsSync(`${file}.sigstore.json`)).toBe(false);
});

const key = ["--signing-key", at("ecdsa-p256.key")];
const refused: readonly (readonly [name: string, args: () => readonly string[], code: string, env?: Record<string, string>])[] = [
  ["no file", () => key, "SIGN_USAGE"],
  ["two files", () => [newFile(), newFile(), ...key], "SIGN_USAGE"],
  ["an unknown option", () => [newFile(), ...key, "--passphrase=x"], "SIGN_USAGE"],
  ["no signer", () => [newFile()], "SIGNER_UNCLEAR"],
  ["a key and a token", () => [newFile(), ...key, "--pkcs11-token", "x"], "SIGNER_UNCLEAR"],
  ["half a token", () => [newFile(), "--pkcs11-module", "/x", "--pkcs11-token", "x"], "SIGNER_UNCLEAR"],
  ["a PIN as an option", () => [newFile(), ...token11("1234")], "PASSPHRASE_UNAVAILABLE"],
  ["a PIN in a variable that is not set", () => [newFile(), ...token11("env:NONE")], "PASSPHRASE_UNAVAILABLE"],
  ["a key and an identity", () => [newFile(), ...key, ...identity], "SIGN_USAGE"],
  ["half an identity", () => [newFile(), "--signing-config", at("config.json"), "--identity", NAME], "SIGN_USAGE"],
  ["a signing configuration that is none", () => [newFile(), ...asIdentity("predicate.json")], "SCHEMA_MISMATCH"],
  ["a signing configuration that is not there", () => [newFile(), ...asIdentity("none.json")], "SIGN_TARGET_UNUSABLE"],
  ["services without a timestamp authority", () => [newFile(), ...asIdentity("no-tsa.json")], "SIGNING_CONFIG_UNUSABLE"],
  ["no token", () => [newFile(), ...asIdentity(), "--apply"], "IDENTITY_TOKEN_UNAVAILABLE"],
  [
    "a token that is none",
    () => [newFile(), ...asIdentity(), "--apply"],
    "IDENTITY_TOKEN_UNAVAILABLE",
    { SIGSTORE_ID_TOKEN: "x.y.z" },
  ],
  [
    "a token that has expired",
    () => [newFile(), ...asIdentity(), "--apply"],
    "IDENTITY_TOKEN_UNAVAILABLE",
    { SIGSTORE_ID_TOKEN: tokenOf({ sub: NAME, exp: 1 }) },
  ],
  ["a directory", () => [dir, ...key], "SIGN_TARGET_UNUSABLE"],
  ["a file that is not there", () => [at("none"), ...key], "SIGN_TARGET_UNUSABLE"],
  ["a type without predicate", () => [newFile(), ...key, "--type", "urn:x"], "SIGN_USAGE"],
  [
    "a predicate that is a list",
    () => [newFile(), ...key, "--type", "urn:x", "--predicate", at("list.json")],
    "SIGN_TARGET_UNUSABLE",
  ],
  [
    "a type that is no URI",
    () => [newFile(), ...key, "--type", "scan", "--predicate", at("predicate.json"), "--apply"],
    "SCHEMA_MISMATCH",
  ],
  ["an encrypted key with a wrong passphrase", () => [newFile(), ...wrongPassphrase()], "KEY_PASSPHRASE_WRONG"],
];
const token11 = (pin: string) => ["--pkcs11-module", "/x", "--pkcs11-token", "x", "--pkcs11-label", "x", "--pkcs11-pin", pin];
function wrongPassphrase(): string[] {
  writeFileSync(at("wrong"), "wrong", { mode: 0o600 });
  return ["--signing-key", at("ecdsa-p256.encrypted"), "--passphrase-fd", String(openSync(at("wrong"), "r"))];
}
for (const [name, args, code, env] of refused) {
  test(`${name}: ${code}`, async () => expect(await run(args(), env)).toMatchObject({ code }));
}
