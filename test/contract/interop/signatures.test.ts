import { createPublicKey } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { preAuthEncoding } from "@secai/formats/dsse";
import { isSignedFile } from "@secai/formats/release-layout";
import { statementOf } from "@secai/formats/release-statements";
import { bundleFromJSON } from "@sigstore/bundle";
import { toSignedEntity, toTrustMaterial, Verifier } from "@sigstore/verify";
import { afterAll, describe, expect, test } from "vitest";
import { ToolFolder } from "../measure/tool-root.ts";
import { makeKeys, makeRelease } from "../release/fixture.ts";
import { flip, namesIn } from "../release/forge.ts";

// Three peers read what we sign: cosign, sigstore-js and, below all formats, openssl.

const folder = new ToolFolder();
afterAll(() => folder.remove());
const at = (name: string) => join(folder.path, name);
makeKeys(at("keys"));
makeKeys(at("stranger"));
await makeRelease(at("release"), at("keys"));
const signed = namesIn(at("release")).filter(isSignedFile);

const TRUSTED_ROOT = {
  mediaType: "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
  tlogs: [],
  certificateAuthorities: [],
  ctlogs: [],
  timestampAuthorities: [],
};
writeFileSync(at("root.json"), JSON.stringify(TRUSTED_ROOT));
const OFFLINE = "--new-bundle-format --trusted-root root.json --insecure-ignore-tlog";

interface Wire {
  readonly dsseEnvelope: {
    readonly payload: string;
    readonly payloadType: string;
    readonly signatures: [{ readonly sig: string }];
  };
  readonly messageSignature: { readonly signature: string };
}
const bundleAt = (file: string) => JSON.parse(readFileSync(at(`release/${file}.sigstore.json`), "utf8")) as Wire;
const statementAt = (file: string) =>
  JSON.parse(Buffer.from(bundleAt(file).dsseEnvelope.payload, "base64").toString()) as {
    subject: { name: string }[];
    predicateType: string;
  };

test("every kind of statement that a release can have is among those that are compared", () => {
  expect(signed.length).toBeGreaterThanOrEqual(5);
  expect(signed.filter((file) => statementOf(file) === undefined)).toEqual([]);
});

describe.each(signed)("the statement of %s", (file) => {
  const { subject, predicateType } = statementAt(file);
  const cosign = (key: string, artifact: string) =>
    folder.run(
      `cosign verify-blob-attestation --key ${key} ${OFFLINE} --type ${predicateType} --bundle release/${file}.sigstore.json ${artifact}`,
    );

  test("is accepted by cosign about its subjects, and about nothing else", () => {
    for (const { name } of subject.slice(0, 3)) cosign("keys/release.pub", `release/${name}`);
    expect(() => cosign("keys/release.pub", "root.json")).toThrow(/does not match any digest/);
  });

  test("is accepted by cosign under no other key", () => {
    expect(() => cosign("stranger/release.pub", `release/${subject[0]?.name}`)).toThrow(/invalid signature|accepted signatures/);
  });

  test("has a signature that openssl verifies over the bytes of DSSE", () => {
    const { payload, payloadType, signatures } = bundleAt(file).dsseEnvelope;
    writeFileSync(at("pae"), preAuthEncoding(payloadType, Buffer.from(payload, "base64")));
    writeFileSync(at("sig"), Buffer.from(signatures[0].sig, "base64"));
    const verify = "openssl dgst -sha256 -verify release/keys/release.pub -signature sig pae";
    expect(folder.run(verify)).toBe("Verified OK\n");
    flip(folder.path, "pae", 40);
    expect(() => folder.run(verify)).toThrow(/ended with 1/);
  });
});

describe("sigstore-js", () => {
  const publicKey = createPublicKey(readFileSync(at("keys/release.pub")));
  const trust = toTrustMaterial({ ...TRUSTED_ROOT, mediaType: "" }, () => ({ publicKey, validFor: () => true }));
  const verifier = new Verifier(trust, { tlogThreshold: 0, ctlogThreshold: 0, timestampThreshold: 0 });
  const verify = (bundle: unknown, artifact?: Buffer) => verifier.verify(toSignedEntity(bundleFromJSON(bundle), artifact));

  test.each(signed)("accepts the bundle of %s, and not with another payload", (file) => {
    const bundle = bundleAt(file);
    verify(bundle);
    const payload = Buffer.from(`${Buffer.from(bundle.dsseEnvelope.payload, "base64")} `).toString("base64");
    expect(() => verify({ ...bundle, dsseEnvelope: { ...bundle.dsseEnvelope, payload } })).toThrow(
      /signature verification failed/i,
    );
  });

  test("accepts the signature of SHA256SUMS, and not of a changed one", () => {
    const sums = readFileSync(at("release/SHA256SUMS"));
    verify(bundleAt("SHA256SUMS"), sums);
    expect(() => verify(bundleAt("SHA256SUMS"), sums.subarray(1))).toThrow(/verif|digest/i);
  });
});

describe("SHA256SUMS", () => {
  test("has a signature that openssl verifies once it is taken out of its bundle", () => {
    writeFileSync(at("sums.sig"), Buffer.from(bundleAt("SHA256SUMS").messageSignature.signature, "base64"));
    const verify = (sums: string) =>
      folder.run(`openssl dgst -sha256 -verify release/keys/release.pub -signature sums.sig ${sums}`);
    expect(verify("release/SHA256SUMS")).toBe("Verified OK\n");
    writeFileSync(at("changed"), readFileSync(at("release/SHA256SUMS")).subarray(1));
    expect(() => verify("changed")).toThrow(/ended with 1/);
  });

  test("is what sha256sum checks and would have written", () => {
    const files = namesIn(at("release")).filter((name) => name !== "SHA256SUMS" && name !== "SHA256SUMS.sigstore.json");
    const checked = folder.run("cd release && sha256sum --strict --check SHA256SUMS").trimEnd().split("\n");
    expect(checked).toHaveLength(files.length);
    expect(checked.filter((line) => !line.endsWith(": OK"))).toEqual([]);
    const written = folder.run(`cd release && sha256sum ${files.map((name) => `'${name}'`).join(" ")} | LC_ALL=C sort -k2`);
    expect(written.split("\n").sort()).toEqual(readFileSync(at("release/SHA256SUMS"), "utf8").split("\n").sort());
  });
});
