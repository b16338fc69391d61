import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { parsePublicKey, publicKeyPem } from "@secai/formats/keys";
import { SignError } from "./errors.ts";
import { type PassphraseSource, parseFd, promptPassphrase, readSecret } from "./passphrase.ts";
import { type KeyedSigner, signerFor } from "./signer.ts";

/** A key that never leaves its token (a smart card, an HSM), reached through OpenSC's pkcs11-tool. */
export interface Pkcs11Options {
  /** The token's driver, a shared library: an absolute path. */
  readonly module: string;
  readonly token: string;
  /** The label of the key pair: a P-256 key. */
  readonly label: string;
  readonly pin: PassphraseSource;
  /** What runs pkcs11-tool: the program and arguments before its own. */
  readonly command?: readonly [string, ...string[]];
}

const LIMIT_MS = 60_000;
/** A public key is 91 bytes, a signature 72. */
const MAX_OUTPUT_BYTES = 64 << 10;
const PIN_VARIABLE = "SECAI_PKCS11_PIN";

/**
 * A signer whose private key stays in its token. The public half is read once, now, and every signature is checked with it.
 * @throws SignError PKCS11_TOOL_MISSING, PKCS11_FAILED, PKCS11_KEY_UNSUITABLE
 */
export async function pkcs11Signer(options: Pkcs11Options): Promise<KeyedSigner> {
  const id = await findKey(options);
  const publicPem = publicKeyPem(await runTool(options, ["--read-object", "--type", "pubkey", "--id", id]));
  try {
    if (parsePublicKey(Buffer.from(publicPem)).algorithm !== "ecdsa-p256") throw new RangeError("another algorithm");
  } catch (cause) {
    throw new SignError("PKCS11_KEY_UNSUITABLE", { expected: "a P-256 key", actual: (cause as Error).message, cause });
  }
  let pin: Buffer | undefined;
  return signerFor(publicPem, async (data) => {
    pin ??= await options.pin(`PIN of token ${options.token}: `);
    return await signDigest(options, id, createHash("sha256").update(data).digest(), pin);
  });
}

/**
 * Where a PIN comes from: "env:NAME", "fd:N" or "prompt". Never the PIN itself, because others can read arguments.
 * @throws SignError PASSPHRASE_UNAVAILABLE
 */
export function parsePinSource(text: string, env: Readonly<Record<string, string | undefined>>): PassphraseSource {
  if (text === "prompt") return promptPassphrase;
  const [, kind, value = ""] = /^(env|fd):(.+)$/.exec(text) ?? [];
  if (kind === "fd") {
    const fd = parseFd(value);
    return () => readSecret(fd);
  }
  const pin = kind === "env" ? env[value] : undefined;
  if (pin !== undefined && pin !== "") return async () => Buffer.from(pin);
  throw new SignError("PASSPHRASE_UNAVAILABLE", {
    expected: "prompt, fd:N, or env:NAME with a variable that is set",
    actual: kind === "env" ? `no variable ${value}` : "another text",
  });
}

/** The id (CKA_ID, hex) of the one public key with the label: pkcs11-tool ignores a label when it signs and takes the first key. */
async function findKey(options: Pkcs11Options): Promise<string> {
  const { label } = options;
  const listed = await runTool(options, ["--list-objects", "--type", "pubkey", "--label", label]).then(String);
  const [id, ...more] = [...listed.matchAll(/^ +ID: +([0-9a-f]{2,510})$/gm)].map(([, hex]) => hex);
  if (id !== undefined && more.length === 0) return id;
  const actual = id === undefined ? "none with an id" : `${more.length + 1}`;
  throw new SignError("PKCS11_FAILED", { expected: `one public key with label ${label}`, actual });
}

/** CKM_ECDSA over a digest that was made here: any token can do it. "openssl" asks for DER instead of plain r and s. */
function signDigest(options: Pkcs11Options, id: string, digest: Buffer, pin: Buffer): Promise<Buffer> {
  const sign = ["--sign", "--mechanism", "ECDSA", "--id", id, "--signature-format", "openssl"];
  const args = ["--login", "--pin", `env:${PIN_VARIABLE}`, ...sign];
  return runTool(options, args, digest, { [PIN_VARIABLE]: pin.toString() });
}

/** What the tool wrote. It is asked once: a repeated wrong PIN locks a token. */
function runTool(
  { module, token, command = ["pkcs11-tool"] }: Pkcs11Options,
  args: readonly string[],
  input: Buffer = Buffer.of(),
  secrets: Readonly<Record<string, string>> = {},
): Promise<Buffer> {
  const [program, ...before] = command;
  const argv = [...before, "--module", module, "--token-label", token, ...args];
  const child = spawn(program, argv, { env: { ...process.env, ...secrets }, timeout: LIMIT_MS, stdio: "pipe" });
  const [output, errors] = [collect(child.stdout), collect(child.stderr)];
  // A tool that fails before it reads closes its end; its exit status says so.
  child.stdin.on("error", () => undefined).end(input);
  return new Promise((resolve, reject) => {
    child.on("error", (cause) =>
      reject(new SignError("PKCS11_TOOL_MISSING", { expected: program, actual: cause.message, cause })),
    );
    child.on("close", (status, signal) => {
      if (status === 0) resolve(output());
      else reject(failure(status ?? signal, errors().toString("utf8")));
    });
  });
}

/** The first bytes of a stream, however much it sends. */
function collect(stream: NodeJS.ReadableStream): () => Buffer {
  const parts: Buffer[] = [];
  let size = 0;
  stream.on("data", (part: Buffer) => {
    if (size < MAX_OUTPUT_BYTES) parts.push(part);
    size += part.length;
  });
  return () => Buffer.concat(parts).subarray(0, MAX_OUTPUT_BYTES);
}

function failure(status: number | string | null, stderr: string): SignError {
  const lines = stderr.split("\n").filter((line) => line !== "" && !line.startsWith("Using ") && line !== "Aborting.");
  const said = lines
    .join("; ")
    .replace(/[^ -~]/g, "?")
    .slice(0, 300);
  if (/CKR_PIN_(INCORRECT|INVALID|LEN_RANGE|EXPIRED|LOCKED)/.test(stderr))
    return new SignError("PKCS11_PIN_REFUSED", { expected: "the token's PIN", actual: said });
  return new SignError("PKCS11_FAILED", { expected: "pkcs11-tool to succeed", actual: `status ${status}: ${said}` });
}
