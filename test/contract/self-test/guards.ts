import { bundleOf, IMAGE_SBOM_FILE, MEASUREMENTS_FILE, PROVENANCE_FILE } from "@secai/formats/release-layout";

/** The checks that look at the statement of a file, by what they ask. */
export interface Guards {
  /** Did a trusted key sign it? */
  readonly signature: string;
  /** Is it a statement of the right kind, and what the file says? */
  readonly content: string;
  /** Is it about the files of this release? */
  readonly subject: string;
  /** Is its bundle one of ours? */
  readonly canonical: string;
}

const guards: Readonly<Record<string, Omit<Guards, "canonical">>> = {
  [PROVENANCE_FILE]: { signature: "provenance.signature", content: "provenance.statement", subject: "provenance.subject" },
  [MEASUREMENTS_FILE]: {
    signature: "measurements.signature",
    content: `measurements.subject:${MEASUREMENTS_FILE}`,
    subject: "measurements.subject",
  },
  [IMAGE_SBOM_FILE]: { signature: "sbom.signature", content: `sbom.subject:${IMAGE_SBOM_FILE}`, subject: "sbom.subject" },
};

/** Undefined for a file whose statement nothing looks at. */
export function guardsOf(file: string): Guards | undefined {
  const found = guards[file];
  return found === undefined ? undefined : { ...found, canonical: `bundle.canonical:${bundleOf(file)}` };
}
