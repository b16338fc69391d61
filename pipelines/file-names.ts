import type { Sha256 } from "@secai/formats/digest";

// In an output's name a word in braces stands for the file's own SHA-256, which no plan can know: "oci/blobs/sha256/{layer}".

const OWN_DIGEST = /\{[a-z]+\}/;

/** The name of a finished file. */
export function fileNameOf(outputName: string, digest: Sha256): string {
  return outputName.replace(OWN_DIGEST, digest);
}

/** Whether `outputName` may become the file `name`. */
export function mayBecome(outputName: string, name: string): boolean {
  const [before = "", after] = outputName.split(OWN_DIGEST);
  if (after === undefined) return outputName === name;
  const middle = name.slice(before.length, name.length - after.length);
  return name === `${before}${middle}${after}` && /^[0-9a-f]{64}$/.test(middle);
}
