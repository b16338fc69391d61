import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { canonicalJson } from "@secai/formats/canonical-json";
import { bundleOf, furtherBundleOf } from "@secai/formats/release-layout";
import { loadSigningKey } from "@secai/sign/key-file";
import { runVerify } from "@secai/verify/command";
import { afterAll, expect, test } from "vitest";
import { makeKeys, makeRelease, temporaryDirectory } from "./fixture.ts";
import { signPayload, statementIn } from "./forge.ts";

const scratch = temporaryDirectory();
afterAll(() => scratch[Symbol.dispose]());
const at = (name: string) => join(scratch.path, name);
makeKeys(at("keys"));
makeKeys(at("stranger"));
await makeRelease(at("release"), at("keys"));
const key = await loadSigningKey(at("keys/release.key"));
const stranger = await loadSigningKey(at("stranger/release.key"));
const release = (name: string) => at(`release/${name}`);
const PROVENANCE = release("provenance.intoto.json.sigstore.json");

async function run(...args: string[]) {
  const said = { stdout: "", stderr: "" };
  const io = {
    stdout: (text: string) => {
      said.stdout += text;
    },
    stderr: (text: string) => {
      said.stderr += text;
    },
    env: { SECAI_KEYS: at("keys") },
  };
  const exit = await runVerify(["file", ...args, "--json"], io);
  const checks =
    said.stdout === "" ? [] : (JSON.parse(said.stdout).checks as readonly { id: string; status: string; code?: string }[]);
  const open = checks.filter(({ status }) => status === "fail" || status === "undecided");
  return { exit, codes: open.map(({ id, code }) => `${id} ${code}`), stderr: said.stderr };
}

// What the cases look at, made once.
copyFileSync(release("uki.efi"), at("uki.efi"));
writeFileSync(at("flipped.efi"), Buffer.concat([readFileSync(release("uki.efi")), Buffer.from("x")]));
writeFileSync(at("spaced.json"), JSON.stringify(JSON.parse(readFileSync(PROVENANCE, "utf8")), undefined, 2));
writeFileSync(at("note.txt"), "hello\n");
writeFileSync(at("empty"), "");
const named = (predicateType: string, version = "v1") => ({
  _type: `https://in-toto.io/Statement/${version}`,
  predicateType,
  predicate: {},
  subject: statementIn(at("release"), "measurements.json").subject,
});
const old = Buffer.from(canonicalJson(named("https://example.org/p", "v0.1")));
writeFileSync(at("old.json"), signPayload(old, key));
writeFileSync(at("foreign.json"), signPayload(Buffer.from("{}"), key));
writeFileSync(at("other-type.json"), signPayload(old, key, "application/json"));
writeFileSync(at("by-stranger.json"), signPayload(old, stranger));

const KEY = ["--key", at("keys/release.pub")];
const MANIFEST = ["--key-manifest", release("keys/keys.json")];

const accepted: readonly { readonly name: string; readonly args: readonly string[] }[] = [
  { name: "a file that its statement says", args: [release("measurements.json")] },
  { name: "a file that is the statement", args: [release("provenance.intoto.json")] },
  { name: "a file that was signed as it is", args: [release("SHA256SUMS")] },
  { name: "the channel file, by the channel's key", args: [release("channel.json"), ...MANIFEST] },
  { name: "the key manifest, by its own root", args: [release("keys/keys.json"), ...MANIFEST] },
  { name: "a subject of a statement", args: [at("uki.efi"), "--subject-of", PROVENANCE, ...KEY] },
  { name: "a bundle with other spacing", args: [at("uki.efi"), "--bundle", at("spaced.json"), ...KEY] },
  { name: "a statement of version 0.1", args: [at("uki.efi"), "--bundle", at("old.json"), ...KEY] },
  {
    name: "the type that was asked for",
    args: [at("uki.efi"), "--bundle", at("old.json"), ...KEY, "--type", "https://example.org/p"],
  },
];
for (const { name, args } of accepted)
  test(`${name}: accepted`, async () => expect(await run(...args)).toMatchObject({ exit: 0, codes: [] }));

const refused: readonly {
  readonly name: string;
  readonly args: readonly string[];
  readonly exit: 1 | 3;
  readonly codes: readonly string[];
}[] = [
  {
    name: "another file",
    args: [at("flipped.efi"), "--subject-of", PROVENANCE, ...KEY],
    exit: 1,
    codes: ["file.subject SUBJECT_MISMATCH"],
  },
  {
    name: "a file that its statement says, where it must be the subject",
    args: [release("measurements.json"), "--subject-of", release("measurements.json.sigstore.json"), ...KEY],
    exit: 1,
    codes: ["file.subject SUBJECT_MISMATCH"],
  },
  {
    name: "a stranger's key",
    args: [at("uki.efi"), "--bundle", at("by-stranger.json"), ...KEY],
    exit: 1,
    codes: ["file.signature KEY_UNTRUSTED", "file.threshold EVIDENCE_UNUSABLE", "file.subject EVIDENCE_UNUSABLE"],
  },
  {
    name: "our release, trusted by a stranger's key",
    args: [release("measurements.json"), "--key", at("stranger/release.pub")],
    exit: 1,
    codes: ["file.signature KEY_UNTRUSTED", "file.threshold EVIDENCE_UNUSABLE", "file.subject EVIDENCE_UNUSABLE"],
  },
  {
    name: "a signed text that is no statement",
    args: [at("uki.efi"), "--bundle", at("foreign.json"), ...KEY],
    exit: 1,
    codes: ["file.subject SCHEMA_MISMATCH"],
  },
  {
    name: "another payload type",
    args: [at("uki.efi"), "--bundle", at("other-type.json"), ...KEY],
    exit: 1,
    codes: ["file.signature SIGNATURE_INVALID", "file.threshold EVIDENCE_UNUSABLE", "file.subject EVIDENCE_UNUSABLE"],
  },
  {
    name: "another type than asked for",
    args: [at("uki.efi"), "--bundle", at("old.json"), ...KEY, "--type", "https://example.org/pp"],
    exit: 1,
    codes: ["file.type PREDICATE_MISMATCH"],
  },
  {
    name: "a signature of another file",
    args: [at("note.txt"), "--bundle", release("SHA256SUMS.sigstore.json"), ...KEY],
    exit: 1,
    codes: ["file.signature SIGNATURE_INVALID", "file.threshold EVIDENCE_UNUSABLE", "file.subject EVIDENCE_UNUSABLE"],
  },
  {
    name: "a bundle that is none",
    args: [at("uki.efi"), "--bundle", at("note.txt"), ...KEY],
    exit: 1,
    codes: [
      "file.bundle JSON_MALFORMED",
      "file.signature BUNDLE_MISSING",
      "file.threshold EVIDENCE_UNUSABLE",
      "file.subject EVIDENCE_UNUSABLE",
    ],
  },
  {
    name: "no bundle",
    args: [at("note.txt")],
    exit: 3,
    codes: [
      "file.bundle BUNDLE_MISSING",
      "file.signature BUNDLE_MISSING",
      "file.threshold EVIDENCE_UNUSABLE",
      "file.subject EVIDENCE_UNUSABLE",
    ],
  },
  {
    name: "a fingerprint without its key",
    args: [release("measurements.json"), "--fingerprint", key.fingerprint],
    exit: 3,
    codes: ["file.signature KEY_UNAVAILABLE", "file.threshold EVIDENCE_UNUSABLE", "file.subject EVIDENCE_UNUSABLE"],
  },
];
for (const { name, args, exit, codes } of refused)
  test(`${name}: exit ${exit}`, async () => expect(await run(...args)).toMatchObject({ exit, codes }));

const misused: readonly (readonly string[])[] = [
  [],
  [at("none")],
  [at("release")],
  [at("uki.efi"), at("note.txt")],
  [at("uki.efi"), "--bundle", at("none")],
  [at("uki.efi"), "--bundle", PROVENANCE, "--subject-of", PROVENANCE],
  [at("uki.efi"), "--identity", "me"],
  [at("uki.efi"), "--trusted-root", at("none"), "--identity", "me", "--issuer", "https://x"],
  [at("uki.efi"), "--insecure"],
  [at("uki.efi"), "--key", at("empty")],
];
for (const args of misused) {
  test(`secai verify file ${args.join(" ").replaceAll(scratch.path, "")}: wrong use`, async () => {
    const { exit, stderr } = await run(...args);
    expect({ exit, said: stderr.includes("fix:") }).toEqual({ exit: 2, said: true });
  });
}

test("a second signer's bundle beside the file is found, and a policy's threshold counts it", async () => {
  copyFileSync(release("measurements.json"), at("m.json"));
  copyFileSync(release("measurements.json.sigstore.json"), bundleOf(at("m.json")));
  const both = [...KEY, "--key", at("stranger/release.pub")];
  const payload = Buffer.from(`${canonicalJson(statementIn(at("release"), "measurements.json"))}\n`);
  const further = furtherBundleOf(at("m.json"), stranger.fingerprint.slice(0, 16));
  writeFileSync(further, signPayload(payload, stranger));
  expect(await run(at("m.json"), ...both)).toMatchObject({ exit: 0, codes: [] });
  const { keys } = await signersIn(at("m.json"), both);
  expect(keys).toEqual([key.fingerprint, stranger.fingerprint]);
});

async function signersIn(file: string, args: readonly string[]) {
  const said: string[] = [];
  const io = { stdout: (text: string) => said.push(text), stderr: () => {}, env: {} };
  await runVerify(["file", file, ...args, "--json"], io);
  return { keys: (JSON.parse(said.join("")).claims.signers as string).split(", ") };
}
