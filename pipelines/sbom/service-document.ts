import type { Sha256 } from "@secai/formats/digest";
import { SbomError } from "./errors.ts";

/** What the image's SBOM takes from a service's. */
export interface ServiceDocument {
  readonly name: string;
  readonly version: string;
  /** `urn:uuid:...` */
  readonly serialNumber: string;
  readonly bundle: Sha256;
  /** Digest of the document itself. */
  readonly document: Sha256;
}

const text = (value: unknown, pattern: RegExp): value is string => typeof value === "string" && pattern.test(value);

/**
 * Reads the head of a service SBOM that this build made.
 * @throws SbomError SBOM_INPUT_MALFORMED
 */
export function parseServiceDocument(json: string, document: Sha256): ServiceDocument {
  let parsed: unknown;
  try {
    parsed = JSON.parse(json);
  } catch (cause) {
    throw new SbomError("SBOM_INPUT_MALFORMED", { expected: "a service SBOM in JSON", actual: "no JSON", cause });
  }
  const { serialNumber, metadata } = Object(parsed) as { serialNumber?: unknown; metadata?: { component?: unknown } };
  const { name, version, hashes } = Object(Object(metadata).component) as Record<string, unknown>;
  const bundle = Array.isArray(hashes) ? Object(hashes.find((hash) => Object(hash).alg === "SHA-256")).content : undefined;
  if (
    !text(name, /^[a-z0-9-]+$/) ||
    !text(version, /./) ||
    !text(serialNumber, /^urn:uuid:/) ||
    !text(bundle, /^[0-9a-f]{64}$/)
  ) {
    throw new SbomError("SBOM_INPUT_MALFORMED", {
      expected: "name, version, serial number and bundle digest",
      actual: String(name),
    });
  }
  return { name, version, serialNumber, bundle: bundle as Sha256, document };
}
