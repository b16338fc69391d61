import { generateKeyPairSync } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseForeignBundle } from "@secai/formats/bundle";
import { verifyMessageBundle } from "@secai/formats/signature";
import { generateSigningKey } from "@secai/sign/generate-key";
import { loadSigningKey, saveSigningKey } from "@secai/sign/key-file";
import { signBlob } from "@secai/sign/sign";
import { afterAll, expect, test } from "vitest";
import { ToolFolder } from "../measure/tool-root.ts";

// The peer: cosign of the tool root, offline. It wants a trusted root even for a plain key; an empty one serves.
const EMPTY_ROOT = {
  mediaType: "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
  tlogs: [],
  certificateAuthorities: [],
  ctlogs: [],
  timestampAuthorities: [],
};
const folder = new ToolFolder();
afterAll(() => folder.remove());
const at = (name: string) => join(folder.path, name);
writeFileSync(at("data"), "data");
writeFileSync(at("root.json"), JSON.stringify(EMPTY_ROOT));
const data = Buffer.from("data");
const passphrase = "correct horse";
const say = async () => Buffer.from(passphrase);
const verify = (pub: string, bundle: string) =>
  folder.run(
    `cosign verify-blob --key ${pub} --new-bundle-format --trusted-root root.json --insecure-ignore-tlog --bundle ${bundle} data`,
  );

test("we load the key pair that cosign makes, and cosign accepts what it signs", async () => {
  folder.run(`COSIGN_PASSWORD='${passphrase}' cosign generate-key-pair`);
  await expect(loadSigningKey(at("cosign.key"), { passphrase: async () => Buffer.from("x") })).rejects.toMatchObject({
    code: "KEY_PASSPHRASE_WRONG",
  });
  const key = await loadSigningKey(at("cosign.key"), { passphrase: say });
  expect(key.publicPem).toBe(readFileSync(at("cosign.pub"), "utf8"));
  writeFileSync(at("ours.json"), signBlob(data, key));
  verify("cosign.pub", "ours.json");
  const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  writeFileSync(at("stranger.pub"), publicKey.export({ type: "spki", format: "pem" }));
  expect(() => verify("stranger.pub", "ours.json")).toThrow(/invalid signature|no matching|failed to verify/i);
});

test("cosign loads the key that we write, and we accept what it signs", async () => {
  const key = generateSigningKey("ecdsa-p256");
  await saveSigningKey(at("ours.key"), key, await say());
  const sign = "cosign sign-blob --yes --key ours.key --tlog-upload=false --new-bundle-format --bundle theirs.json data";
  expect(() => folder.run(`COSIGN_PASSWORD=x ${sign}`)).toThrow(/decrypt/);
  expect(folder.run(`COSIGN_PASSWORD='${passphrase}' cosign public-key --key ours.key`)).toBe(key.publicPem);
  folder.run(`COSIGN_PASSWORD='${passphrase}' ${sign}`);
  const bundle = parseForeignBundle(readFileSync(at("theirs.json")));
  if (bundle.kind !== "message") throw new Error("a statement");
  verifyMessageBundle(bundle, data, key);
});
