import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { BUNDLE_MEDIA_TYPE } from "@secai/formats/bundle";
import { canonicalJson } from "@secai/formats/canonical-json";
import { buildChecksums, CHECKSUMS_BUNDLE, CHECKSUMS_FILE } from "@secai/formats/checksums";
import { sha256 } from "@secai/formats/digest";
import { preAuthEncoding } from "@secai/formats/dsse";
import { hintOf } from "@secai/formats/keys";
import { buildManifest, type Manifest, type ManifestFacts, manifestBytes } from "@secai/formats/manifest";
import { bundleOf, isChecksummed, isListed, MANIFEST_FILE, PROVENANCE_FILE } from "@secai/formats/release-layout";
import type { Statement, Subject } from "@secai/formats/statement";
import { statementBytes } from "@secai/formats/statement";
import { IN_TOTO_PAYLOAD_TYPE } from "@secai/formats/uris";
import type { SigningKey } from "@secai/sign/key-file";
import { signatureOf, signBlob, signStatement } from "@secai/sign/sign";

// What somebody with a pen (and sometimes with a key) can do to a release directory.

export const read = (dir: string, name: string) => readFileSync(join(dir, name));
export function write(dir: string, name: string, content: string | Uint8Array): void {
  mkdirSync(dirname(join(dir, name)), { recursive: true });
  writeFileSync(join(dir, name), content);
}
export const remove = (dir: string, name: string) => rmSync(join(dir, name), { recursive: true });
export const edit = (dir: string, name: string, change: (text: string) => string) =>
  write(dir, name, change(read(dir, name).toString("latin1")));

export function namesIn(dir: string): readonly string[] {
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(dir, join(entry.parentPath, entry.name)))
    .sort();
}

export function flip(dir: string, name: string, offset: number): void {
  const bytes = read(dir, name);
  bytes.writeUInt8(bytes.readUInt8(offset) ^ 1, offset);
  write(dir, name, bytes);
}

/** Lists and signs the directory anew, as an insider could: what only signatures and digests protect is then open. */
export function reseal(dir: string, key: SigningKey, change: Partial<ManifestFacts> = {}): void {
  const manifest = JSON.parse(read(dir, MANIFEST_FILE).toString()) as Manifest;
  const files = namesIn(dir)
    .filter(isListed)
    .map((name) => {
      const bytes = read(dir, name);
      return { name, sha256: sha256(bytes), size: bytes.length };
    });
  const facts: ManifestFacts = {
    recipe: manifest.recipe,
    version: manifest.tag,
    designation: manifest.designation,
    rootHash: manifest.image.root_hash,
    builderId: manifest.build.builder_id,
    sourceDateEpoch: Date.parse(manifest.build.timestamp) / 1000,
    keyFingerprint: manifest.trust_root.fingerprint,
    files,
    absent: manifest.absent,
    ...change,
  };
  write(dir, MANIFEST_FILE, manifestBytes(buildManifest(facts)));
  resealChecksums(dir, key);
}

/** A bundle around any payload whatever: what our own signer refuses to sign, others would. */
export function signPayload(payload: Uint8Array, key: SigningKey, payloadType: string = IN_TOTO_PAYLOAD_TYPE): Buffer {
  const sig = signatureOf(preAuthEncoding(payloadType, payload), key).toString("base64");
  const bundle = {
    mediaType: BUNDLE_MEDIA_TYPE,
    verificationMaterial: { publicKey: { hint: hintOf(key) } },
    dsseEnvelope: { payload: Buffer.from(payload).toString("base64"), payloadType, signatures: [{ sig }] },
  };
  return Buffer.from(`${canonicalJson(bundle)}\n`);
}

/** The statement inside a file's bundle. */
export function statementIn(dir: string, file: string): Mutable {
  const bundle = JSON.parse(read(dir, bundleOf(file)).toString()) as { dsseEnvelope: { payload: string } };
  return JSON.parse(Buffer.from(bundle.dsseEnvelope.payload, "base64").toString()) as Mutable;
}

/** Signs the manifest's own statement about what now lies there. */
function resealManifest(dir: string, key: SigningKey): void {
  if (!existsSync(join(dir, bundleOf(MANIFEST_FILE)))) return;
  const statement = statementIn(dir, MANIFEST_FILE);
  const digest = (name: string) => ({ sha256: existsSync(join(dir, name)) ? sha256(read(dir, name)) : "0".repeat(64) });
  statement.subject = (statement.subject as readonly Subject[]).map(({ name }) => ({ name, digest: digest(name) }));
  write(dir, bundleOf(MANIFEST_FILE), signPayload(Buffer.from(`${canonicalJson(statement)}\n`), key));
}

/** Like `reseal`, but the manifest stays as somebody left it. */
export function resealChecksums(dir: string, key: SigningKey): void {
  resealManifest(dir, key);
  signChecksums(dir, key);
}

/** Lists every file and signs the list; no statement is touched. */
export function signChecksums(dir: string, key: SigningKey): void {
  const names = namesIn(dir).filter(isChecksummed);
  const checksums = Buffer.from(buildChecksums(new Map(names.map((name) => [name, sha256(read(dir, name))]))));
  write(dir, CHECKSUMS_FILE, checksums);
  write(dir, CHECKSUMS_BUNDLE, signBlob(checksums, key));
}

/** Changes the statement about `file`, signs it and reseals. */
export async function restate(dir: string, file: string, key: SigningKey, change: (statement: Mutable) => void): Promise<void> {
  const statement = statementIn(dir, file);
  change(statement);
  write(dir, bundleOf(file), await signStatement(statement as unknown as Statement, key));
  if (file === PROVENANCE_FILE) write(dir, file, statementBytes(statement as unknown as Statement));
  reseal(dir, key);
}

/** A document to change at will; nothing in it is checked before it is used. */
export interface Mutable {
  [member: string]: unknown;
}

/** Sets the value at a path such as "predicate/runDetails/builder/id"; `undefined` removes it. */
export function set(document: unknown, path: string, value: unknown): void {
  const parts = path.split("/");
  const last = parts.pop() ?? "";
  let here = document as Mutable;
  for (const part of parts) here = here[part] as Mutable;
  if (value === undefined) delete here[last];
  else here[last] = value;
}

/** Sets one value in a canonical JSON file. */
export function setIn(dir: string, name: string, path: string, value: unknown): void {
  const document: unknown = JSON.parse(read(dir, name).toString());
  set(document, path, value);
  write(dir, name, `${canonicalJson(document)}\n`);
}
