import { canonicalJson } from "@secai/formats/canonical-json";
import { vector } from "@secai/measure/fixtures/vectors";
import fc from "fast-check";
import { expect, test } from "vitest";
import { parseImageRelease } from "./runtime-collect-boot.ts";
import { RuntimeError } from "./runtime-errors.ts";
import { parseEvidence, printEvidence } from "./runtime-evidence.ts";
import { parseSitePolicy, printSitePolicy } from "./runtime-policy.ts";
import { parseVerityStatus } from "./runtime-verity.ts";

type Document = Record<string, unknown>;
const edit = (name: string) => (change: (document: Document) => void) => {
  const document = JSON.parse(vector(name).toString("utf8")) as Document;
  change(document);
  return Buffer.from(`${canonicalJson(document)}\n`);
};
const evidenceWith = edit("plain/evidence.json");
const policyWith = edit("addon/policy.json");
const inside = (document: Document, name: string) => document[name] as Document;

test("printing and parsing evidence are inverse, with and without a TPM", () => {
  const bytes = vector("plain/evidence.json");
  expect(printEvidence(parseEvidence(bytes))).toBe(bytes.toString("utf8"));
  const bare = {
    ...parseEvidence(bytes),
    quote: undefined,
    eventLog: undefined,
    userspaceLog: undefined,
    services: { a: "00".repeat(32) },
  };
  expect(parseEvidence(Buffer.from(printEvidence(bare)))).toEqual(bare);
});

const rejectedEvidence = [
  { name: "nothing", bytes: Buffer.alloc(0) },
  { name: "schema 2", bytes: evidenceWith((it) => Object.assign(it, { schema: 2 })) },
  { name: "an unknown member", bytes: evidenceWith((it) => Object.assign(it, { trusted: true })) },
  { name: "a missing member", bytes: evidenceWith((it) => delete it.root) },
  { name: "a nonce of 15 bytes", bytes: evidenceWith((it) => Object.assign(it, { nonce: "00".repeat(15) })) },
  { name: "PCR 24", bytes: evidenceWith((it) => Object.assign(inside(inside(it, "quote"), "pcrs"), { "24": "00".repeat(32) })) },
  { name: "PCR 04", bytes: evidenceWith((it) => Object.assign(inside(inside(it, "quote"), "pcrs"), { "04": "00".repeat(32) })) },
  {
    name: "base64 with a changed spare bit",
    bytes: evidenceWith((it) => Object.assign(inside(it, "quote"), { message: "AB==" })),
  },
  { name: "a line break in the command line", bytes: evidenceWith((it) => Object.assign(it, { commandLine: "a\nb" })) },
  { name: "a truth that is a text", bytes: evidenceWith((it) => Object.assign(inside(it, "root"), { readOnly: "true" })) },
];
for (const { name, bytes } of rejectedEvidence) {
  test(`parseEvidence rejects ${name}`, () =>
    expect(() => parseEvidence(bytes)).toThrow(expect.objectContaining({ code: "EVIDENCE_MALFORMED" })));
}

const rejectedPolicies = [
  { name: "an unknown member", bytes: policyWith((it) => Object.assign(it, { allowAddons: true })) },
  { name: "a value for PCR 11", bytes: policyWith((it) => Object.assign(inside(it, "pcrs"), { "11": "00".repeat(32) })) },
  { name: "the release's own name", bytes: policyWith((it) => Object.assign(it, { name: "release" })) },
  { name: "an addon without its PCR 12", bytes: policyWith((it) => delete inside(it, "pcrs")["12"]) },
  { name: "a PCR 12 without its addon", bytes: policyWith((it) => delete it.addonCommandLine) },
  { name: "an empty list of enrolled keys", bytes: policyWith((it) => Object.assign(it, { attestationKeys: [] })) },
  { name: "spare white space", bytes: Buffer.from(` ${vector("addon/policy.json").toString("utf8")}`) },
];
for (const { name, bytes } of rejectedPolicies) {
  test(`parseSitePolicy rejects ${name}`, () =>
    expect(() => parseSitePolicy(bytes)).toThrow(expect.objectContaining({ code: "RUNTIME_POLICY_MALFORMED" })));
}

test("a site policy survives printing", () =>
  expect(parseSitePolicy(Buffer.from(printSitePolicy(parseSitePolicy(vector("addon/policy.json")))))).toEqual(
    parseSitePolicy(vector("addon/policy.json")),
  ));

test("parseEvidence and parseSitePolicy return or throw RuntimeError, nothing else", () => {
  fc.assert(
    fc.property(fc.oneof(fc.json(), fc.string()), (text) => {
      for (const parse of [parseEvidence, parseSitePolicy]) {
        try {
          parse(Buffer.from(`${text}\n`));
        } catch (error) {
          expect(error).toBeInstanceOf(RuntimeError);
        }
      }
    }),
  );
});

test("veritysetup's status is read by its lines", () => {
  const hash = "ab".repeat(32);
  const status = (state: string) =>
    `/dev/mapper/root is active and is in use.\n  type:        VERITY\n  status:      ${state}\n  root hash:   ${hash}\n`;
  expect(parseVerityStatus(status("verified"))).toEqual({ verity: "verified", hash });
  expect(parseVerityStatus(status("corrupted"))).toEqual({ verity: "corrupted", hash });
  expect(parseVerityStatus("/dev/mapper/root is inactive.\n")).toEqual({ verity: "absent", hash: null });
  expect(parseVerityStatus(`  status: verified\n  root hash: ${hash}00\n`)).toEqual({ verity: "verified", hash: null });
});

test("os-release is read with and without quotes; anything odd is empty", () => {
  expect(parseImageRelease('ID=debian\nIMAGE_ID="secai-os"\nIMAGE_VERSION=0.1.0\n')).toEqual({
    imageId: "secai-os",
    imageVersion: "0.1.0",
  });
  expect(parseImageRelease("IMAGE_VERSION=0.1.0; rm -rf /\n")).toEqual({ imageId: "", imageVersion: "" });
});
