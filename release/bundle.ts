import { join } from "node:path";
import type { Sha256 } from "@secai/formats/digest";
import type { ListedFile, ManifestFacts } from "@secai/formats/manifest";
import { OCI_INDEX_FILE } from "@secai/formats/release-layout";
import type { KnownFiles } from "@secai/verify/inventory";
import type { Report } from "@secai/verify/report";
import { ReleaseError } from "./errors.ts";
import { buildInPlaceOf, placeFile, type Source } from "./place.ts";
import { inputsOf, sealRelease } from "./seal.ts";
import { openSigners, placeKeyFiles, signImageLayout } from "./signers.ts";

/** Public halves that every release shows; taken from the keys directory where the build did not write them. */
const PUBLIC_KEYS = ["PK.crt", "KEK.crt", "db.crt", "pcr.pub"] as const;

export interface FinishOptions {
  /** What the build made, by name in the release. provenance.intoto.json and measurements.json are canonical JSON. */
  readonly files: Readonly<Record<string, Source>>;
  /** The release directory to make, e.g. out/debian-13/0.1.0; one that is there is replaced when all has gone well. */
  readonly out: string;
  /** Where release.key and the public halves lie. */
  readonly keysDir: string;
  /** What the build recorded about its outputs; each is compared with the bytes that ship. */
  readonly records?: Readonly<Record<string, { readonly sha256: Sha256; readonly size: number }>>;
  /** Media this release leaves out, and why. */
  readonly absent?: ManifestFacts["absent"];
  /** 40 hex digits, when the sources were exactly those of a commit. */
  readonly commitSha?: string;
  /** See `PlaceOptions.link`. */
  readonly link?: boolean;
}

export interface FinishedRelease {
  readonly dir: string;
  readonly report: Report;
  readonly files: readonly ListedFile[];
}

/**
 * Turns the outputs of a build into a release: statements signed, every file listed, the list signed, and the whole verified as a
 * stranger would before it appears at `out`. Recipe, version and designation are those of the provenance, stated once.
 * @throws ReleaseError, SignError, and FormatError or MeasureError for inputs that no verifier would accept
 */
export async function finishRelease(options: FinishOptions): Promise<FinishedRelease> {
  const signers = await openSigners(options.keysDir);
  return buildInPlaceOf(options.out, async (dir) => {
    await placeInputs(dir, options);
    await placeKeyFiles(dir, signers);
    await signImageLayout(dir, signers);
    const inputs = await inputsOf(dir);
    requireRecorded(inputs, options.records ?? {});
    const { report, files } = await sealRelease(dir, inputs, { ...options, signers });
    return { dir: options.out, report: { ...report, target: options.out }, files };
  });
}

async function placeInputs(dir: string, { files, keysDir, link }: FinishOptions): Promise<void> {
  const keys = PUBLIC_KEYS.map((name): [string, Source] => [`keys/${name}`, { path: join(keysDir, name) }]);
  const all: Readonly<Record<string, Source>> = { ...Object.fromEntries(keys), ...files };
  for (const [name, source] of Object.entries(all)) {
    const linking = link === true && !name.startsWith("keys/");
    await placeFile(dir, name, source, { link: linking }).catch((cause: NodeJS.ErrnoException) => {
      if (cause.code !== "ENOENT") throw cause;
      throw new ReleaseError("RELEASE_INPUT_MISSING", { expected: name, actual: cause.message, cause });
    });
  }
}

function requireRecorded(inputs: KnownFiles, records: NonNullable<FinishOptions["records"]>): void {
  for (const [name, record] of Object.entries(records)) {
    // Signing the OCI image adds entries to its index; the manifest that the index names is compared.
    if (name === OCI_INDEX_FILE) continue;
    const file = inputs.get(name);
    if (file?.sha256 !== record.sha256 || file.size !== record.size) {
      throw new ReleaseError("RELEASE_INPUT_CHANGED", {
        expected: `${name}: ${record.size} bytes, ${record.sha256}`,
        actual: file === undefined ? "no such file" : `${file.size} bytes, ${file.sha256}`,
      });
    }
  }
}
