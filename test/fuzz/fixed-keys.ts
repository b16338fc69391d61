import { createECDH, createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";

// Keys that are the same for every run, so that an input that was kept is worth as much later. They sign nothing but inputs.

export interface FixedKey {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
  readonly pem: string;
}

const keyOf = (privateKey: KeyObject): FixedKey => {
  const publicKey = createPublicKey(privateKey);
  return { privateKey, publicKey, pem: publicKey.export({ type: "spki", format: "pem" }).toString() };
};

/** P-256, of a secret that is one byte again and again. */
export function fixedP256(byte: number): FixedKey {
  const secret = Buffer.alloc(32, byte);
  const ecdh = createECDH("prime256v1");
  ecdh.setPrivateKey(secret);
  const point = ecdh.getPublicKey();
  const coordinate = (start: number) => point.subarray(start, start + 32).toString("base64url");
  const jwk = { kty: "EC", crv: "P-256", d: secret.toString("base64url"), x: coordinate(1), y: coordinate(33) };
  return keyOf(createPrivateKey({ key: jwk, format: "jwk" }));
}

/** Ed25519, of such a seed (RFC 8410 §7 for the bytes before it). */
export function fixedEd25519(byte: number): FixedKey {
  const der = Buffer.concat([Buffer.from("302e020100300506032b657004220420", "hex"), Buffer.alloc(32, byte)]);
  return keyOf(createPrivateKey({ key: der, format: "der", type: "pkcs8" }));
}
