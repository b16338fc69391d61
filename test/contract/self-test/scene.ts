import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseBaseline } from "@secai/formats/baseline";
import { canonicalJson } from "@secai/formats/canonical-json";
import { sha256 } from "@secai/formats/digest";
import { instantOf } from "@secai/formats/instant";
import { generateSigningKey } from "@secai/sign/generate-key";
import { loadSigningKey, type SigningKey } from "@secai/sign/key-file";
import { type Evidence, printEvidence } from "@secai/verify/runtime-evidence";
import { runningOf } from "@secai/verify/runtime-state.test-data";
import { rebootedLog } from "../release/boot.ts";
import { makeKeys, makeRelease, suiteResults } from "../release/fixture.ts";
import type { Mutation, Scene } from "../release/mutations.ts";
import { makeKey, NONCE, quoteOf, realEvidence, realMeasurements, replayed, type SoftKey } from "./machine.ts";

/** What a case finds: a release, an older one, and what people hand to the verifier beside them. */
export interface SelfTestScene extends Scene {
  /** Folder of release, older and inputs: the "@" of a case's arguments. */
  readonly root: string;
  readonly inputs: string;
  /** After everything was signed, before anything expires; "{at}" in arguments. */
  readonly at: string;
  /** A key of the other algorithm, ML-DSA-65. */
  readonly quantum: SigningKey;
  /** The attestation key of the machine, and what that machine says when all is well. */
  readonly machine: SoftKey;
  readonly evidence: Evidence;
}

/** A mutation with the question it spoils; the release's by default. */
export interface Case extends Pick<Mutation, "name" | "fails" | "code"> {
  readonly apply?: (scene: SelfTestScene) => void | Promise<void>;
  readonly args?: readonly string[];
  /** 1 by default: rejected. */
  readonly exit?: 0 | 1 | 2 | 3;
}

export const TRUST: readonly string[] = ["--at", "{at}", "--key", "@/inputs/release.pub", "--designation", "dev"];
const HOUR_MS = 3_600_000;
export const RELEASE_ARGS: readonly string[] = ["release", "@/release", "--release", "0.1.0", ...TRUST];
export const EVIDENCE_ARGS: readonly string[] = ["--evidence", "@/inputs/evidence.json", "--nonce", NONCE];
export const RUNTIME_ARGS: readonly string[] = ["runtime", "--release", "@/release", ...EVIDENCE_ARGS, ...TRUST];

const ENGINE = "export {};\n";
/** Of the image whose evidence the machine shows; the boot files, and what they measure to, are the fixture's. */
const { rootHash, commandLine } = realMeasurements;
const measured = { rootHash, commandLine };

/** Everything a case starts from, below `scratch`. Keys are made for it and thrown away with it. */
export async function makeScene(scratch: string): Promise<SelfTestScene> {
  const root = join(scratch, "root");
  const at = (name: string) => join(root, name);
  for (const name of ["inputs", "release", "older"]) mkdirSync(at(name), { recursive: true });
  const keysOf = (name: string) => join(scratch, "keys", name);
  for (const name of ["own", "stranger"]) makeKeys(keysOf(name));
  const rootHashFile = { content: `${String(measured.rootHash)}\n` };
  const files = { ...suiteResults, ROOT_HASH: rootHashFile, "services/policy-engine.mjs": { content: ENGINE } };
  await makeRelease(at("older"), keysOf("own"), {
    measurements: measured,
    facts: { version: "0.0.9" },
    files: { ...files, "uki.efi": { content: "an older kernel image\n" } },
  });
  await makeRelease(at("release"), keysOf("own"), { measurements: measured, files });
  const [key, stranger] = await Promise.all(["own", "stranger"].map((name) => loadSigningKey(join(keysOf(name), "release.key"))));
  if (key === undefined || stranger === undefined) throw new Error("two keys were made");
  writeFileSync(at("inputs/release.pub"), key.publicPem);
  writeFileSync(at("inputs/stranger.pub"), stranger.publicPem);
  const machine = makeKey();
  const evidence = evidenceOf(machine, at("release"));
  writeFileSync(at("inputs/evidence.json"), printEvidence(evidence));
  const [dir, older, inputs] = [at("release"), at("older"), at("inputs")];
  return {
    root,
    at: instantOf(Date.now() + HOUR_MS),
    dir,
    older,
    inputs,
    key,
    stranger,
    quantum: generateSigningKey("ml-dsa-65"),
    machine,
    evidence,
  };
}

/** A machine that runs the fixture release: the logs of a real boot with this release's programs in them, quoted by `key`. */
function evidenceOf(key: SoftKey, release: string): Evidence {
  const real = realEvidence("plain");
  const [bootloader, uki] = ["bootx64.efi", "uki.efi"].map((name) => readFileSync(join(release, name)));
  const eventLog = rebootedLog(real.eventLog ?? Buffer.alloc(0), bootloader ?? Buffer.alloc(0), uki ?? Buffer.alloc(0));
  const pcrs = replayed(eventLog, real.userspaceLog ?? Buffer.alloc(0), real.quote?.pcrs.keys() ?? []);
  return {
    ...real,
    eventLog,
    running: runningOf(parseBaseline(readFileSync(join(release, "baseline.json")))),
    quote: quoteOf(key, { pcrs }),
    release: { imageId: "secai-os", imageVersion: "0.1.0" },
    services: { "policy-engine": sha256(ENGINE) },
  };
}

/** Puts another answer of the machine in the place of its genuine one. */
export function answer({ inputs }: SelfTestScene, evidence: Evidence): void {
  writeFileSync(join(inputs, "evidence.json"), printEvidence(evidence));
}

/** An input file with canonical JSON. */
export function input({ inputs }: SelfTestScene, name: string, document: unknown): void {
  writeFileSync(join(inputs, name), `${canonicalJson(document)}\n`);
}
