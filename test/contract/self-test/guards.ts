import { bundleOf, PROVENANCE_FILE, type Role, roleOf } from "@secai/formats/release-layout";
import { releaseChecks } from "@secai/verify/release-checks";

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

const areas: Partial<Record<Role, string>> = {
  provenance: "provenance",
  measurements: "measurements",
  "image-sbom": "sbom",
  "service-sbom": "sbom",
  baseline: "baseline",
  vex: "vex",
  "test-result": "tests",
  channel: "channel",
  manifest: "manifest",
};

/** Undefined for a file whose statement nothing looks at by itself: key manifests, whose chain is a matter of its own. */
export function guardsOf(file: string): Guards | undefined {
  const area = areas[roleOf(file)];
  const content = file === PROVENANCE_FILE ? "provenance.statement" : `${area}.subject:${file}`;
  if (area === undefined || !releaseChecks.some(({ id }) => id === `${area}.signature`)) return undefined;
  return {
    signature: `${area}.signature:${file}`,
    content,
    subject: `${area}.subject`,
    canonical: `bundle.canonical:${bundleOf(file)}`,
  };
}
