import { hasNativeMlDsa, provideMlDsa } from "@secai/formats/ml-dsa";

/**
 * Call once before signatures are checked: makes ML-DSA-65 available on a Node whose OpenSSL lacks it (Node 20), and loads nothing
 * where it has it. Only checks signatures; keys are made and used with OpenSSL alone.
 */
export async function prepareMlDsa(): Promise<void> {
  if (hasNativeMlDsa()) return;
  const { ml_dsa65 } = await import("@noble/post-quantum/ml-dsa.js");
  provideMlDsa((rawKey, message, signature) => ml_dsa65.verify(signature, message, rawKey));
}
