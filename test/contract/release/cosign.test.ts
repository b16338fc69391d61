import { generateKeyPairSync } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseForeignBundle } from "@secai/formats/bundle";
import { parsePublicKey } from "@secai/formats/keys";
import { verifyMessageBundle, verifyStatementBundle } from "@secai/formats/signature";
import { MEASURED_BOOT_PREDICATE } from "@secai/formats/uris";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ToolFolder } from "../measure/tool-root.ts";
import { makeKeys, makeRelease } from "./fixture.ts";
import { flip } from "./forge.ts";

// The peer: cosign of the tool root, offline. It wants a trusted root even for a plain key; an empty one serves.
const TRUSTED_ROOT = {
  mediaType: "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
  tlogs: [],
  certificateAuthorities: [],
  ctlogs: [],
  timestampAuthorities: [],
};
const ACCEPT = "--new-bundle-format --trusted-root root.json --insecure-ignore-tlog";
const MAKE = "--tlog-upload=false --new-bundle-format";

const folder = new ToolFolder();
afterAll(() => folder.remove());
const at = (name: string) => join(folder.path, name);

beforeAll(async () => {
  makeKeys(at("keys"));
  await makeRelease(at("release"), at("keys"));
  writeFileSync(at("root.json"), JSON.stringify(TRUSTED_ROOT));
});

const statements = [
  { file: "provenance.intoto.json", type: "slsaprovenance1", about: ["uki.efi", "disk.raw.zst", "services/policy-engine.mjs"] },
  { file: "measurements.json", type: MEASURED_BOOT_PREDICATE, about: ["uki.efi", "disk.raw.zst"] },
  { file: "sbom/image.cdx.json", type: "cyclonedx", about: ["disk.raw.zst"] },
];
for (const { file, type, about } of statements) {
  const verify = (artifact: string) =>
    `cosign verify-blob-attestation --key release/keys/release.pub ${ACCEPT} --type ${type} --bundle release/${file}.sigstore.json ${artifact}`;
  for (const artifact of about) {
    test(`cosign accepts the statement of ${file} about ${artifact}`, () => {
      folder.run(verify(`release/${artifact}`));
    });
  }
  test(`cosign refuses the statement of ${file} about something else`, () => {
    expect(() => folder.run(verify("root.json"))).toThrow(/does not match any digest/);
  });
}

test("cosign accepts the signature of SHA256SUMS, and not of a changed one", () => {
  const verify = `cosign verify-blob --key release/keys/release.pub ${ACCEPT} --bundle release/SHA256SUMS.sigstore.json`;
  folder.run(`${verify} release/SHA256SUMS`);
  writeFileSync(at("changed"), readFileSync(at("release/SHA256SUMS")));
  flip(folder.path, "changed", 0);
  expect(() => folder.run(`${verify} changed`)).toThrow(/invalid signature|ASN\.1/);
});

test("sha256sum reads SHA256SUMS", () => {
  expect(folder.run("cd release && sha256sum --strict --check SHA256SUMS")).toMatch(/^disk.raw.zst: OK$/m);
});

test("openssl prints the fingerprint we compare", () => {
  const printed = folder.run("openssl pkey -pubin -in release/keys/release.pub -outform DER | sha256sum");
  expect(printed.slice(0, 64)).toBe(parsePublicKey(readFileSync(at("release/keys/release.pub"))).fingerprint);
});

test("we accept what cosign signs, and nothing else", () => {
  writeFileSync(
    at("predicate.json"),
    JSON.stringify(JSON.parse(readFileSync(at("release/provenance.intoto.json"), "utf8")).predicate),
  );
  folder.run(`export COSIGN_PASSWORD= COSIGN_YES=true
    cosign generate-key-pair
    cosign sign-blob --key cosign.key ${MAKE} --bundle file.json release/SHA256SUMS
    cosign attest-blob --key cosign.key ${MAKE} --bundle statement.json --type slsaprovenance1 --predicate predicate.json release/uki.efi`);
  const key = parsePublicKey(readFileSync(at("cosign.pub")));
  const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const stranger = parsePublicKey(Buffer.from(publicKey.export({ type: "spki", format: "pem" })));
  const sums = readFileSync(at("release/SHA256SUMS"));

  const file = parseForeignBundle(readFileSync(at("file.json")));
  if (file.kind !== "message") throw new Error("cosign signed a statement");
  verifyMessageBundle(file, sums, key);
  expect(() => verifyMessageBundle(file, sums.subarray(1), key)).toThrow(/SIGNATURE_INVALID/);
  expect(() => verifyMessageBundle(file, sums, stranger)).toThrow(/SIGNATURE_INVALID/);

  const statement = parseForeignBundle(readFileSync(at("statement.json")));
  if (statement.kind !== "statement") throw new Error("cosign signed a file");
  expect(JSON.parse(verifyStatementBundle(statement, key).toString())).toMatchObject({
    predicateType: "https://slsa.dev/provenance/v1",
  });
  expect(() => verifyStatementBundle(statement, stranger)).toThrow(/SIGNATURE_INVALID/);
});
