import { ZERO_PCR } from "@secai/measure/pcr";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { addonPcr, makePcrKey, testAddon } from "./boot.test-data.ts";
import { AttestorError } from "./errors.ts";
import { EVALUATION, type HardwareProfile, parseProfile, printProfile } from "./profile.ts";
import { statementKey } from "./statement.test-data.ts";

const owner = statementKey();
const profile: HardwareProfile = {
  version: 2,
  mode: "hardware",
  ak_fingerprint: "ab".repeat(32),
  pcr_public_key: makePcrKey().pem,
  statement_keys: [owner.pem],
  pinned_pcrs: { "7": "11".repeat(32), "12": ZERO_PCR },
  addon: null,
  command_line: "roothash=00 quiet",
  enrolled_deployment: `sha256:${"cd".repeat(32)}`,
  enrolled_at: "2026-11-01T00:00:00.000Z",
  tpm_reset_count: 3,
};
const withAddon: HardwareProfile = {
  ...profile,
  addon: { authenticode: testAddon.authenticode, command_line: testAddon.commandLine },
  pinned_pcrs: { "7": "11".repeat(32), "12": addonPcr(testAddon) },
};
const bytes = (value: unknown) => Buffer.from(JSON.stringify(value));

test.each([profile, withAddon, EVALUATION])("a profile is read as it was printed", (one) => {
  expect(parseProfile(Buffer.from(printProfile(one)))).toEqual(one);
});

const rejected: { name: string; text: Uint8Array }[] = [
  { name: "nothing", text: Buffer.alloc(0) },
  { name: "a list", text: bytes([]) },
  { name: "an earlier version", text: bytes({ ...profile, version: 1 }) },
  { name: "another mode", text: bytes({ ...profile, mode: "software" }) },
  { name: "evaluation with a key", text: bytes({ version: 2, mode: "evaluation", ak_fingerprint: "ab".repeat(32) }) },
  { name: "an unknown member", text: bytes({ ...profile, require_tpm: false }) },
  { name: "a member twice", text: Buffer.from(printProfile(profile).replace('"version": 2,', '"version": 2, "version": 2,')) },
  { name: "no PCR 7", text: bytes({ ...profile, pinned_pcrs: { "12": ZERO_PCR } }) },
  { name: "PCR 11", text: bytes({ ...profile, pinned_pcrs: { ...profile.pinned_pcrs, "11": ZERO_PCR } }) },
  {
    name: "PCR 12 that no addon explains",
    text: bytes({ ...profile, pinned_pcrs: { ...profile.pinned_pcrs, "12": "11".repeat(32) } }),
  },
  { name: "an addon that does not explain PCR 12", text: bytes({ ...withAddon, pinned_pcrs: profile.pinned_pcrs }) },
  {
    name: "another addon than PCR 12's",
    text: bytes({ ...withAddon, addon: { ...withAddon.addon, command_line: "init=/bin/sh" } }),
  },
  { name: "an upper-case fingerprint", text: bytes({ ...profile, ak_fingerprint: "AB".repeat(32) }) },
  { name: "a deployment without its algorithm", text: bytes({ ...profile, enrolled_deployment: "cd".repeat(32) }) },
  { name: "a statement key twice", text: bytes({ ...profile, statement_keys: [owner.pem, owner.pem] }) },
  { name: "a statement key of another kind", text: bytes({ ...profile, statement_keys: [profile.pcr_public_key] }) },
  { name: "a statement key that is none", text: bytes({ ...profile, statement_keys: [owner.pem.replace(/[A-Z]/, "?")] }) },
  {
    name: "no key for PCR 11",
    text: bytes({ ...profile, pcr_public_key: "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n" }),
  },
  { name: "a negative count", text: bytes({ ...profile, tpm_reset_count: -1 }) },
  { name: "a large file", text: Buffer.alloc(65 * 1024, " ") },
];
describe("parseProfile rejects", () => {
  for (const { name, text } of rejected)
    test(name, () => expect(() => parseProfile(text)).toThrow(expect.objectContaining({ code: "PROFILE_MALFORMED" })));

  test("everything else, with its own error and no other", () => {
    const mutant = fc.record(
      { ...Object.fromEntries(Object.keys(profile).map((name) => [name, fc.jsonValue()])) },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.jsonValue(),
          mutant.map((change) => ({ ...profile, ...change })),
        ),
        (value) => {
          try {
            parseProfile(bytes(value));
          } catch (error) {
            expect(error).toBeInstanceOf(AttestorError);
          }
        },
      ),
    );
  });
});
