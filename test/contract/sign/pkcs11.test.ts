import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseBundle } from "@secai/formats/bundle";
import { sha256 } from "@secai/formats/digest";
import { verifyMessageBundle, verifyStatementBundle } from "@secai/formats/signature";
import { buildStatement, statementBytes, subjectOf } from "@secai/formats/statement";
import { type Pkcs11Options, parsePinSource, pkcs11Signer } from "@secai/sign/pkcs11";
import { afterAll, beforeAll, expect, test } from "vitest";

// A software token of the tool root. The wrapper notes every command line, to see that no PIN is on one.
const MODULE = "/usr/lib/softhsm/libsofthsm2.so";
const PIN = "874190";
const dir = mkdtempSync(join(tmpdir(), "secai-pkcs11-"));
afterAll(() => rmSync(dir, { recursive: true }));
const wrapper = join(dir, "in-tool-root");

beforeAll(() => {
  const root = process.env.SECAI_TOOL_ROOT;
  if (root === undefined || root === "") throw new Error("SECAI_TOOL_ROOT names no tool root: run `npm run test:contract`");
  mkdirSync(join(dir, "tokens"));
  writeFileSync(
    join(dir, "softhsm2.conf"),
    `directories.tokendir = ${dir}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n`,
  );
  const sandbox = `exec bwrap --unshare-net --ro-bind ${root} / --dev /dev --proc /proc --tmpfs /tmp --bind ${dir} ${dir} "$@"`;
  writeFileSync(wrapper, `#!/bin/sh\necho "$@" >> ${dir}/command-lines\nexport SOFTHSM2_CONF=${dir}/softhsm2.conf\n${sandbox}\n`);
  chmodSync(wrapper, 0o700);
  tool("softhsm2-util", "--init-token", "--free", "--label", "secai", "--pin", PIN, "--so-pin", "12345678");
  generate("EC:prime256v1", "release", "01");
  generate("EC:secp384r1", "large", "02");
  generate("EC:prime256v1", "unlike", "03");
  generate("EC:prime256v1", "twins", "04");
  generate("EC:prime256v1", "twins", "05");
  // The public half of one pair under the name of another pair's private half.
  tool(...session, "--delete-object", "--type", "pubkey", "--label", "unlike");
  tool(...session, "--read-object", "--type", "pubkey", "--label", "release", "--output-file", join(dir, "other.der"));
  tool(...session, "--write-object", join(dir, "other.der"), "--type", "pubkey", "--label", "unlike", "--id", "03");
  rmSync(join(dir, "command-lines"));
});
const session = ["pkcs11-tool", "--module", MODULE, "--token-label", "secai", "--login", "--pin", PIN];
const tool = (...argv: readonly string[]) => execFileSync(wrapper, argv, { stdio: "pipe" });
const generate = (type: string, label: string, id: string) =>
  tool(...session, "--keypairgen", "--key-type", type, "--label", label, "--id", id);

const options: Pkcs11Options = {
  module: MODULE,
  token: "secai",
  label: "release",
  pin: async () => Buffer.from(PIN),
  command: [wrapper, "pkcs11-tool"],
};
const data = Buffer.from("data");

test("what a token signs verifies, files and statements alike, and its PIN is on no command line", async () => {
  const signer = await pkcs11Signer(options);
  if (signer.publicKey === undefined) throw new Error("no key");
  const file = parseBundle(await signer.signBlob(data));
  if (file.kind !== "message") throw new Error("a statement");
  verifyMessageBundle(file, data, signer.publicKey);
  const statement = buildStatement("urn:test", [subjectOf("x", sha256("x"))], { a: 1 });
  const bundle = parseBundle(await signer.signStatement(statement));
  if (bundle.kind !== "statement") throw new Error("a file");
  expect(verifyStatementBundle(bundle, signer.publicKey)).toEqual(statementBytes(statement));
  const lines = readFileSync(join(dir, "command-lines"), "utf8");
  expect(lines).toContain("--sign ");
  expect(lines).not.toContain(PIN);
});

test("the PIN is asked for once, at the first signature", async () => {
  const asked: string[] = [];
  const pin = async (question: string) => {
    asked.push(question);
    return Buffer.from(PIN);
  };
  const signer = await pkcs11Signer({ ...options, pin });
  expect(asked).toEqual([]);
  await signer.signBlob(data);
  await signer.signBlob(data);
  expect(asked).toEqual(["PIN of token secai: "]);
});

const refused: readonly (readonly [name: string, change: Partial<Pkcs11Options>, code: string])[] = [
  ["another token", { token: "other" }, "PKCS11_FAILED"],
  ["another key", { label: "other" }, "PKCS11_FAILED"],
  ["another driver", { module: "/usr/lib/none.so" }, "PKCS11_FAILED"],
  ["two keys of one label", { label: "twins" }, "PKCS11_FAILED"],
  ["a key of another curve", { label: "large" }, "PKCS11_KEY_UNSUITABLE"],
  ["a machine without pkcs11-tool", { command: [join(dir, "none")] }, "PKCS11_TOOL_MISSING"],
];
for (const [name, change, code] of refused) {
  test(`${name} is refused before anything is signed`, () =>
    expect(pkcs11Signer({ ...options, ...change })).rejects.toMatchObject({ code }));
}

test("a wrong PIN is refused, and tried once", async () => {
  rmSync(join(dir, "command-lines"), { force: true });
  const signer = await pkcs11Signer({ ...options, pin: async () => Buffer.from("000000") });
  await expect(signer.signBlob(data)).rejects.toMatchObject({ code: "PKCS11_PIN_REFUSED" });
  expect(readFileSync(join(dir, "command-lines"), "utf8").match(/--sign /g)).toHaveLength(1);
});

test("a signature by another key of the token is not given out", async () => {
  const signer = await pkcs11Signer({ ...options, label: "unlike" });
  await expect(signer.signBlob(data)).rejects.toMatchObject({ code: "SIGNATURE_UNVERIFIED" });
});

test("a PIN comes from a variable, a descriptor or the terminal, and is never the option itself", async () => {
  expect((await parsePinSource("env:TOKEN_PIN", { TOKEN_PIN: PIN })("")).toString()).toBe(PIN);
  for (const text of [PIN, "", "env:", "env:TOKEN_PIN", "fd:", "fd:1", "pin:1234", "prompt "])
    expect(() => parsePinSource(text, {})).toThrow(/PASSPHRASE_UNAVAILABLE/);
});
