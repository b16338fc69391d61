import { LicenseAcknowledgement } from "@cyclonedx/cyclonedx-library/Enums";
import { type License, LicenseRepository, NamedLicense, SpdxLicense } from "@cyclonedx/cyclonedx-library/Models";
import { isSupportedSpdxId } from "@cyclonedx/cyclonedx-library/SPDX";
import { paragraphs, parseStanza } from "../lock/stanza.ts";

/** Longest copyright file that is read, in characters; Debian's longest has about 2 million. */
const MAX_CHARACTERS = 8 << 20;

/** Short names of the machine-readable copyright format 1.0 §7.1.1 whose SPDX id is another word. */
const debianToSpdx: Readonly<Record<string, string>> = {
  Expat: "MIT",
  "BSD-2-clause": "BSD-2-Clause",
  "BSD-3-clause": "BSD-3-Clause",
  "BSD-4-clause": "BSD-4-Clause",
  Artistic: "Artistic-1.0",
  Apache: "Apache-2.0",
  "Apache-2": "Apache-2.0",
  zlib: "Zlib",
};

const gnuFamily = /^(?<family>A?GPL|LGPL|GFDL)-(?<version>\d+(?:\.\d+)?)(?<later>\+?)$/;

/** SPDX id of a Debian short name, e.g. "GPL-2+" -> "GPL-2.0-or-later"; undefined when SPDX has none. */
export function spdxIdOf(shortName: string): string | undefined {
  const gnu = gnuFamily.exec(shortName)?.groups;
  const version = gnu?.version?.includes(".") === true ? gnu.version : `${gnu?.version}.0`;
  const candidate =
    gnu === undefined
      ? (debianToSpdx[shortName] ?? shortName)
      : `${gnu.family}-${version}-${gnu.later === "+" ? "or-later" : "only"}`;
  return isSupportedSpdxId(candidate) ? candidate : undefined;
}

/**
 * The licences that a copyright file in the machine-readable format 1.0 gives to files, as written ("GPL-2+ or Artistic" stays whole:
 * taking it apart would lose the choice). Undefined when the file is not machine readable.
 */
export function licenceNames(copyright: string): readonly string[] | undefined {
  if (copyright.length > MAX_CHARACTERS) return undefined;
  try {
    // Lines of blanks separate paragraphs too; so do carriage returns in a few old files.
    const stanzas = [
      ...paragraphs(
        copyright
          .replace(/\r/g, "")
          .replace(/^[ \t]+$/gm, "")
          .replace(/^#.*\n/gm, ""),
      ),
    ].map(parseStanza);
    if (!/copyright-format\/1\.0|dep5/i.test(stanzas[0]?.get("format") ?? stanzas[0]?.get("format-specification") ?? ""))
      return undefined;
    const names = stanzas
      .filter((stanza) => stanza.has("files"))
      .map((stanza) => (stanza.get("license") ?? "").split("\n")[0]?.trim() ?? "");
    return [...new Set(names.filter((name) => name !== ""))].sort();
  } catch {
    return undefined;
  }
}

/** As CycloneDX licences: an SPDX id where there is one, else the name as it was written. */
export function licenceRepository(names: readonly string[]): LicenseRepository {
  const byId = new Map<string, License>();
  for (const name of names) {
    const id = spdxIdOf(name);
    const acknowledgement = LicenseAcknowledgement.Declared;
    byId.set(
      id ?? name,
      id === undefined ? new NamedLicense(name, { acknowledgement }) : new SpdxLicense(id, { acknowledgement }),
    );
  }
  return new LicenseRepository(byId.values());
}
