import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { bundleBytes } from "@secai/formats/bundle";
import { canonicalJson } from "@secai/formats/canonical-json";
import { sha256 } from "@secai/formats/digest";
import { preAuthEncoding } from "@secai/formats/dsse";
import { hintOf, type PublicKey, parsePublicKey } from "@secai/formats/keys";
import { bundleOf, DISK_FILE, MANIFEST_FILE } from "@secai/formats/release-layout";
import { releasePredicate } from "@secai/formats/release-statement";
import { buildStatement, statementBytes, subjectOf } from "@secai/formats/statement";
import { IN_TOTO_PAYLOAD_TYPE, RELEASE_PREDICATE, TEST_RESULT_PREDICATE } from "@secai/formats/uris";
import { testResultOf } from "@secai/release/test-results";

// A small release whose statements are signed with throwaway keys, by the formats of real ones.

export const DISK = "a compressed disk\n";
export const IMAGE = sha256(DISK);

export interface TestKey {
  readonly privateKey: KeyObject;
  readonly pem: Buffer;
  readonly key: PublicKey;
}

export function makeKey(): TestKey {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const pem = Buffer.from(publicKey.export({ type: "spki", format: "pem" }));
  return { privateKey, pem, key: parsePublicKey(pem) };
}

/** A statement in a bundle, signed. */
export function signed({ privateKey, key }: TestKey, type: string, names: readonly string[], digest: string, predicate: unknown) {
  const payload = statementBytes(
    buildStatement(
      type,
      names.map((name) => subjectOf(name, name === DISK_FILE ? (digest as typeof IMAGE) : sha256(name))),
      predicate,
    ),
  );
  const signature = sign("sha256", preAuthEncoding(IN_TOTO_PAYLOAD_TYPE, payload), privateKey);
  return bundleBytes({ kind: "statement", keyHint: hintOf(key), payloadType: IN_TOTO_PAYLOAD_TYPE, payload, signature });
}

export const releaseBundle = (key: TestKey, image: string = IMAGE) =>
  signed(key, RELEASE_PREDICATE, [DISK_FILE, MANIFEST_FILE], image, releasePredicate("debian-13", "0.1.0"));

type Outcome = "passed" | "failed" | "fault" | "missing";
interface Found {
  readonly outcome?: Outcome;
  readonly measures?: Readonly<Record<string, number>>;
}

/** What a suite writes with --json. */
export function reportOf(suite: string, found: Readonly<Record<string, Found>>, image: string = IMAGE): Buffer {
  const scenarios = Object.entries(found).map(([id, { outcome = "passed", measures = {} }]) => ({
    ...{ id, title: `The title of ${id}`, outcome, durationMs: 1000, measures },
  }));
  const head = { schema: 1, suite, startedOn: "2026-01-01T00:00:00.000Z", durationMs: 60_000, accelerator: "tcg" };
  return Buffer.from(
    JSON.stringify({ ...head, imageDigest: `sha256:${image}`, passed: 1, failed: [], skipped: [], scenarios }, undefined, 2),
  );
}

/** The signed statement of a report, made of it as a release makes it. */
export function resultBundle(
  key: TestKey,
  report: Buffer,
  image: string = IMAGE,
  names: readonly string[] = [DISK_FILE],
): Buffer {
  const { imageDigest } = JSON.parse(report.toString()) as { readonly imageDigest: string };
  const { result } = testResultOf(report, imageDigest);
  return signed(key, TEST_RESULT_PREDICATE, names, image, JSON.parse(canonicalJson(result)));
}

export interface TemporaryFolder {
  readonly path: string;
  write(name: string, content: string | Uint8Array): void;
  [Symbol.dispose](): void;
}

export function temporaryFolder(): TemporaryFolder {
  const path = mkdtempSync(join(tmpdir(), "secai-controls-"));
  return {
    path,
    write(name, content) {
      mkdirSync(dirname(join(path, name)), { recursive: true });
      writeFileSync(join(path, name), content);
    },
    [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }),
  };
}

/** A release directory with one suite's signed result. */
export function exampleRelease(key: TestKey, report: Buffer): TemporaryFolder {
  const folder = temporaryFolder();
  folder.write(DISK_FILE, DISK);
  folder.write(bundleOf(MANIFEST_FILE), releaseBundle(key));
  folder.write("tests/acceptance.json", "{}\n");
  folder.write(bundleOf("tests/acceptance.json"), resultBundle(key, report));
  return folder;
}
