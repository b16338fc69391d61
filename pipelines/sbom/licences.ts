import { LicenseAcknowledgement } from "@cyclonedx/cyclonedx-library/Enums";
import {
  type License,
  LicenseExpression,
  LicenseRepository,
  NamedLicense,
  SpdxLicense,
} from "@cyclonedx/cyclonedx-library/Models";
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

/**
 * Licences whose text a copyright file points to, e.g. "/usr/share/common-licenses/GPL-3" (Debian Policy §12.5). Of a file that no machine
 * can read this is evidence of what is in it, not a statement about the package.
 */
export function mentionedLicences(copyright: string): readonly string[] {
  const found = copyright
    .slice(0, MAX_CHARACTERS)
    .matchAll(/\/usr\/share\/common-licenses\/(?<name>[A-Za-z]+(?:-[0-9]+(?:\.[0-9]+)*)?)/g);
  return [...new Set([...found].map(({ groups }) => groups?.name ?? ""))].sort();
}

/**
 * As observed in a package's files: no acknowledgement, because nobody declared them for it. A pointer to a GNU licence does not say
 * whether later versions may be chosen, so those stand by the name of the text.
 */
export function evidenceRepository(names: readonly string[]): LicenseRepository {
  const ids = names.map((name) => [name, gnuFamily.test(name) ? undefined : spdxIdOf(name)] as const);
  return new LicenseRepository(ids.map(([name, id]) => (id === undefined ? new NamedLicense(name) : new SpdxLicense(id))));
}

/** Words of SPDX licence expressions (SPDX 2.3 annex D) that are no identifiers. */
const OPERATORS: ReadonlySet<string> = new Set(["AND", "OR", "WITH"]);

/** Identifiers in order, operators between them, parentheses in pairs; what follows WITH is an exception, which has no list here. */
function isSpdxExpression(text: string): boolean {
  const tokens = text.match(/[()]|[^\s()]+/g) ?? [];
  let depth = 0;
  let previous = "(";
  for (const token of tokens) {
    const expectsOperand = previous === "(" || OPERATORS.has(previous);
    if (token === "(" && !expectsOperand) return false;
    if (token === ")" && (expectsOperand || depth === 0)) return false;
    if (OPERATORS.has(token) && expectsOperand) return false;
    if (!"()".includes(token) && !OPERATORS.has(token)) {
      if (!expectsOperand) return false;
      if (previous !== "WITH" && !isSupportedSpdxId(token) && !/^LicenseRef-[A-Za-z0-9.-]+$/.test(token)) return false;
    }
    depth += token === "(" ? 1 : token === ")" ? -1 : 0;
    previous = token;
  }
  return depth === 0 && previous !== "(" && !OPERATORS.has(previous);
}

/** The licence of a package that states one SPDX expression; anything else stands as it was written. Empty: none. */
export function expressionRepository(text: string): LicenseRepository {
  if (text === "") return new LicenseRepository();
  const acknowledgement = LicenseAcknowledgement.Declared;
  if (isSupportedSpdxId(text)) return new LicenseRepository([new SpdxLicense(text, { acknowledgement })]);
  const licence = isSpdxExpression(text)
    ? Object.assign(new LicenseExpression(text), { acknowledgement })
    : new NamedLicense(text, { acknowledgement });
  return new LicenseRepository([licence]);
}
