import { strict as assert } from "node:assert";
import { generateKeyPairSync, sign } from "node:crypto";
import { parsePublicKey } from "@secai/formats/keys";
import { hasNativeMlDsa } from "@secai/formats/ml-dsa";
import { isSignature } from "@secai/formats/signature";
import { test, vi } from "vitest";
import { prepareMlDsa } from "./ml-dsa.ts";

// An OpenSSL before 3.5, as upstream builds of Node 20 carry it: it cannot read the key.
vi.mock("node:crypto", async (original) => {
  const crypto = await original<typeof import("node:crypto")>();
  const createPublicKey: typeof crypto.createPublicKey = (input) => {
    if (
      typeof input === "object" &&
      "format" in input &&
      input.format === "der" &&
      Buffer.from(input.key as Buffer).length === 1974
    )
      throw new Error("unsupported");
    return crypto.createPublicKey(input);
  };
  return { ...crypto, default: { ...crypto, createPublicKey }, createPublicKey };
});

test("where OpenSSL has no ML-DSA, signatures are checked only after the program has brought it", async () => {
  const { publicKey, privateKey } = generateKeyPairSync("ml-dsa-65");
  const key = parsePublicKey(Buffer.from(publicKey.export({ type: "spki", format: "pem" })));
  const data = Buffer.from("data");
  const signature = sign(null, data, privateKey);
  assert.equal(hasNativeMlDsa(), false);
  assert.throws(() => isSignature(data, signature, key), { code: "ALGORITHM_UNAVAILABLE" });
  await prepareMlDsa();
  assert.equal(isSignature(data, signature, key), true);
  assert.equal(isSignature(Buffer.from("Data"), signature, key), false);
  assert.equal(isSignature(data, signature.subarray(1), key), false);
});
