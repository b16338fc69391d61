import { spawnSync } from "node:child_process";
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, randomUUID, X509Certificate } from "node:crypto";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { type Sha256, sha256 } from "@secai/formats/digest";
import { PipelineError } from "./errors.ts";

/** The three Secure Boot roles: platform key, key exchange key, signature database (UEFI specification, chapter 32). */
const secureBootRoles = ["PK", "KEK", "db"] as const;
const files = [
  ...secureBootRoles.flatMap((role) => [`${role}.key`, `${role}.crt`]),
  "pcr.key",
  "pcr.pub",
  "release.key",
  "release.pub",
  "guid",
] as const;

export interface Keyring {
  readonly dir: string;
  /** Path of a private key, for a sandbox's read-only mount. */
  secretPath(name: string): string;
  /** Public files by name, as text. */
  readonly publicFiles: Readonly<Record<"PK.crt" | "KEK.crt" | "db.crt" | "pcr.pub" | "release.pub" | "guid", string>>;
  /** Digest of the public half of a private key. */
  identity(name: "db.key" | "pcr.key"): Sha256;
}

/** openssl writes the key straight to a 0600 file; nothing secret is in an argument or the environment. */
function makeCertificate(dir: string, role: string): void {
  const subject = `/O=SecAI OS development keys, not for production/CN=SecAI dev ${role}`;
  const args = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-sha256", "-days", "3650", "-subj", subject];
  const result = spawnSync("openssl", [...args, "-keyout", join(dir, `${role}.key`), "-out", join(dir, `${role}.crt`)], {
    encoding: "utf8",
  });
  if (result.status !== 0)
    throw new PipelineError("KEYS_NOT_MADE", { expected: "openssl req to succeed", actual: result.stderr.slice(-300) });
}

function writePair(dir: string, name: string, pair: { publicKey: string; privateKey: string }): void {
  writeFileSync(join(dir, `${name}.key`), pair.privateKey, { mode: 0o600 });
  writeFileSync(join(dir, `${name}.pub`), pair.publicKey, { mode: 0o644 });
}

const publicKeyEncoding = { type: "spki", format: "pem" } as const;
const privateKeyEncoding = { type: "pkcs8", format: "pem" } as const;

/** All keys or none: they are made in a folder beside and moved into place at once. */
function makeKeys(dir: string): void {
  mkdirSync(dirname(dir), { recursive: true, mode: 0o700 });
  const fresh = mkdtempSync(`${dir}.new-`);
  try {
    for (const role of secureBootRoles) makeCertificate(fresh, role);
    writePair(fresh, "pcr", generateKeyPairSync("rsa", { modulusLength: 2048, publicKeyEncoding, privateKeyEncoding }));
    writePair(fresh, "release", generateKeyPairSync("ec", { namedCurve: "P-256", publicKeyEncoding, privateKeyEncoding }));
    writeFileSync(join(fresh, "guid"), `${randomUUID()}\n`);
    for (const name of files) chmodSync(join(fresh, name), name.endsWith(".key") ? 0o600 : 0o644);
    renameSync(fresh, dir);
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
}

function checkFiles(dir: string): void {
  for (const name of files) {
    const stat = lstatSync(join(dir, name), { throwIfNoEntry: false });
    if (stat?.isFile() !== true)
      throw new PipelineError("KEYS_INCOMPLETE", { expected: `${name} in ${dir}`, actual: "no such file" });
    if (name.endsWith(".key") && (stat.mode & 0o077) !== 0) {
      throw new PipelineError("KEYS_EXPOSED", {
        expected: `${join(dir, name)} with mode 0600`,
        actual: `mode 0${(stat.mode & 0o777).toString(8)}`,
        fix: `Run: chmod 600 ${join(dir, name)}`,
      });
    }
  }
}

const spki = (key: ReturnType<typeof createPublicKey>) =>
  createHash("sha256")
    .update(key.export({ type: "spki", format: "der" }))
    .digest("hex");

/** A key that does not belong to its certificate would sign an image that no firmware boots: say so before an hour is spent. */
function checkPairs(dir: string): void {
  const read = (name: string) => readFileSync(join(dir, name), "utf8");
  const pairs = [
    ...secureBootRoles.map((role) => [`${role}.key`, new X509Certificate(read(`${role}.crt`)).publicKey] as const),
    ["pcr.key", createPublicKey(read("pcr.pub"))] as const,
    ["release.key", createPublicKey(read("release.pub"))] as const,
  ];
  for (const [name, publicKey] of pairs) {
    const own = spki(createPublicKey(createPrivateKey(read(name))));
    if (own !== spki(publicKey))
      throw new PipelineError("KEYS_MISMATCH", { expected: `${name} to belong to its public half`, actual: "another key" });
  }
}

/**
 * The user's keys, made at first use.
 * @throws PipelineError KEYS_NOT_MADE, KEYS_INCOMPLETE, KEYS_EXPOSED, KEYS_MISMATCH
 */
export function loadKeyring(dir: string, onCreate: (message: string) => void): Keyring {
  if (!existsSync(dir)) {
    onCreate(`no signing keys yet: making development keys in ${dir}`);
    makeKeys(dir);
  }
  checkFiles(dir);
  checkPairs(dir);
  const read = (name: string) => readFileSync(join(dir, name), "utf8");
  const publicFiles = {
    "PK.crt": read("PK.crt"),
    "KEK.crt": read("KEK.crt"),
    "db.crt": read("db.crt"),
    "pcr.pub": read("pcr.pub"),
    "release.pub": read("release.pub"),
    guid: read("guid"),
  };
  return {
    dir,
    secretPath: (name) => join(dir, name),
    publicFiles,
    identity: (name) => sha256(publicFiles[name === "db.key" ? "db.crt" : "pcr.pub"]),
  };
}
