import { createHash } from "node:crypto";

/** The namespace of RFC 9562 §6.6 for names that are URLs. */
const URL_NAMESPACE = Buffer.from("6ba7b8119dad11d180b400c04fd430c8", "hex");

/** UUID version 5 (RFC 9562 §5.5) of a URL. SHA-1 is what the format prescribes; nothing relies on its strength. */
export function uuidOfUrl(url: string): string {
  const bytes = createHash("sha1").update(URL_NAMESPACE).update(url).digest().subarray(0, 16);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x50, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  return bytes.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
