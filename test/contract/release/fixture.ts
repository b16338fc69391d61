import { generateKeyPairSync } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { canonicalJson } from "@secai/formats/canonical-json";
import { type Sha256, sha256 } from "@secai/formats/digest";
import { parsePublicKey } from "@secai/formats/keys";
import { type BuildFacts, buildProvenance } from "@secai/formats/provenance";
import { statementBytes, subjectOf } from "@secai/formats/statement";
import { LOCAL_BUILDER_ID } from "@secai/formats/uris";
import { BOOT_PHASES } from "@secai/measure/uki";
import { type FinishedRelease, type FinishOptions, finishRelease } from "@secai/release/bundle";
import { knownBuilders, type VerifyPolicy } from "@secai/verify/release-policy";

/** A directory that is gone when the test is. */
export function temporaryDirectory(): { readonly path: string; [Symbol.dispose](): void } {
  const path = mkdtempSync(join(tmpdir(), "secai-release-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

/** Real throwaway keys: the cryptography of these tests is the cryptography of a release. */
export function makeKeys(dir: string): VerifyPolicy {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const pem = publicKey.export({ type: "spki", format: "pem" });
  writeFileSync(join(dir, "release.key"), privateKey.export({ type: "pkcs8", format: "pem" }), { mode: 0o600 });
  writeFileSync(join(dir, "release.pub"), pem, { mode: 0o600 });
  for (const name of ["PK.crt", "KEK.crt", "db.crt", "pcr.pub"]) writeFileSync(join(dir, name), `public half of ${name}\n`);
  return policyFor([parsePublicKey(Buffer.from(pem))]);
}

export function policyFor(keys: VerifyPolicy["keys"]): VerifyPolicy {
  return { keys, fingerprints: [], designations: ["dev"], builders: knownBuilders, without: [] };
}

export interface FixtureChanges {
  readonly facts?: Partial<BuildFacts>;
  readonly measurements?: Readonly<Record<string, unknown>>;
  readonly files?: Readonly<Record<string, { readonly content: string | Uint8Array } | undefined>>;
  /** Sources that stand in for the contents above, e.g. files to link. */
  readonly sources?: FinishOptions["files"];
  readonly options?: Partial<FinishOptions>;
}

const sbom = (name: string) => ({
  content: canonicalJson({
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    version: 1,
    metadata: { component: { type: "application", name } },
    components: [{ type: "library", name: "example", version: "1.0" }],
  }),
});

/** A complete release with small contents, made by the code that makes real ones. */
export async function makeRelease(out: string, keysDir: string, changes: FixtureChanges = {}): Promise<FinishedRelease> {
  const rootHash = sha256("root");
  const built: Record<string, { readonly content: string | Uint8Array }> = {
    "disk.raw.zst": { content: "a compressed disk\n" },
    "disk.qcow2": { content: "the same disk for a virtual machine\n" },
    "uki.efi": { content: "a unified kernel image\n" },
    "bootx64.efi": { content: "a boot loader\n" },
    ROOT_HASH: { content: `${rootHash}\n` },
    "services/policy-engine.mjs": { content: "export {};\n" },
    "sbom/image.cdx.json": sbom("image"),
    "sbom/policy-engine.cdx.json": sbom("policy-engine"),
  };
  const merged = Object.entries({ ...built, ...changes.files }).filter(([, source]) => source !== undefined);
  const files = Object.fromEntries(merged) as Record<string, { readonly content: string | Uint8Array }>;
  files["measurements.json"] ??= {
    content: `${canonicalJson({ ...measurementsOf(files, rootHash), ...changes.measurements })}\n`,
  };
  const subjects = Object.entries(files).map(([name, { content }]) => subjectOf(name, sha256(content)));
  files["provenance.intoto.json"] ??= {
    content: statementBytes(buildProvenance({ ...factsOf(), subjects, ...changes.facts })).toString(),
  };
  return finishRelease({ files: { ...files, ...changes.sources }, out, keysDir, ...changes.options });
}

function measurementsOf(files: Readonly<Record<string, { readonly content: string | Uint8Array }>>, rootHash: Sha256) {
  const digest = (name: string) => sha256(files[name]?.content ?? name);
  const phases = BOOT_PHASES.map((_, index) => BOOT_PHASES.slice(0, index + 1).join(":"));
  const ready = digest(phases.at(-1) ?? "");
  return {
    schema: 1,
    designation: "dev",
    rootHash,
    commandLine: `quiet roothash=${rootHash}`,
    uki: { sha256: digest("uki.efi"), authenticode: digest("uki") },
    bootloader: { sha256: digest("bootx64.efi"), authenticode: digest("boot") },
    secureBoot: {
      ownerGuid: "6d0a31e6-5a8d-4b2e-9f2a-000000000001",
      PK: digest("PK"),
      KEK: digest("KEK"),
      db: [digest("db")],
    },
    pcrs: { sha256: { "4": digest("4"), "7": digest("7"), "11": ready, "12": "0".repeat(64) } },
    pcr11Phases: Object.fromEntries(phases.map((phase) => [phase, digest(phase)])),
    siteSpecificPcrs: [0, 1],
  };
}

export function factsOf(): BuildFacts {
  return {
    recipe: { name: "debian-13", path: "recipes/debian-13.yaml", sha256: sha256("recipe") },
    lock: { path: "recipes/locks/debian-13.lock.json", sha256: sha256("lock") },
    version: "0.1.0",
    designation: "dev",
    sourceDateEpoch: 1_760_000_000,
    engine: "local",
    drift: [],
    dependencies: [{ name: "bash", uri: "pkg:deb/debian/bash@5.2", digest: { sha256: sha256("bash") } }],
    byproducts: [{ name: "log/uki", digest: { sha256: sha256("log") } }],
    builder: { id: LOCAL_BUILDER_ID, version: { secai: "0.1.0" } },
    metadata: { invocationId: "1", startedOn: "2026-01-01T00:00:00Z", finishedOn: "2026-01-01T00:01:00Z" },
    subjects: [subjectOf("disk.raw.zst", sha256("disk"))],
  };
}
