/** Exit status of a command (docs/errors.md): 1 rejected, 2 wrong use, 3 undecided, 70 our bug. 0 is acceptance and never an error. */
export type ExitStatus = 1 | 2 | 3 | 70;

/** One line of the error catalogue. `meaning` and `fix` are whole sentences shown to operators and copied to docs/errors.md. */
export interface CatalogueEntry {
  readonly exit: ExitStatus;
  readonly meaning: string;
  readonly fix: string;
}
export type Catalogue = Readonly<Record<string, CatalogueEntry>>;

export interface ErrorDetail {
  readonly expected?: string;
  readonly actual?: string;
  /** A command or an action that mends this very case; the catalogue's `fix` stands in when absent. */
  readonly fix?: string;
  readonly cause?: unknown;
}

/**
 * The base of every error this project throws on purpose. Each workspace has an `errors.ts` with its catalogue and one subclass,
 * so the type system refuses a code that is not catalogued; test/errors.test.ts compares the catalogues with docs/errors.md.
 */
export class CodedError<Code extends string = string> extends Error {
  readonly code: Code;
  readonly exit: ExitStatus;
  readonly expected: string | undefined;
  readonly actual: string | undefined;
  readonly fix: string;

  constructor(code: Code, entry: CatalogueEntry, detail: ErrorDetail = {}) {
    const compared =
      detail.expected === undefined && detail.actual === undefined
        ? entry.meaning
        : `expected ${detail.expected ?? "-"}, got ${detail.actual ?? "-"}`;
    super(`${code}: ${compared}`, { cause: detail.cause });
    this.name = new.target.name;
    this.code = code;
    this.exit = entry.exit;
    this.expected = detail.expected;
    this.actual = detail.actual;
    this.fix = detail.fix ?? entry.fix;
  }
}

export const formatErrors = {
  DIGEST_MALFORMED: {
    exit: 2,
    meaning: "A digest is not 64 lower-case hex digits.",
    fix: "Use the digest as `sha256sum` prints it.",
  },
  JSON_NOT_CANONICAL: {
    exit: 1,
    meaning: "A file that must be canonical JSON has other bytes for the same value.",
    fix: "Fetch the file again; do not reformat signed files.",
  },
  JSON_MALFORMED: { exit: 1, meaning: "A file is not JSON.", fix: "Fetch the file again." },
  JSON_TOO_LARGE: {
    exit: 1,
    meaning: "A JSON document is larger than its reader accepts.",
    fix: "Fetch the file again; a genuine one is smaller.",
  },
  SCHEMA_MISMATCH: {
    exit: 1,
    meaning: "A document does not have the shape its schema demands.",
    fix: "Compare it with the schema named in the message.",
  },
  BASE64_MALFORMED: {
    exit: 1,
    meaning: "A value is not canonical, padded base64.",
    fix: "Fetch the file again; do not re-encode signed files.",
  },
  KEY_MALFORMED: {
    exit: 2,
    meaning: "A public key file is not one P-256 or ML-DSA-65 key in PEM.",
    fix: "Use the release.pub that the publisher handed out.",
  },
  CHECKSUMS_MALFORMED: {
    exit: 1,
    meaning: "A SHA256SUMS file is not sorted lines of a digest, two spaces and a safe file name.",
    fix: "Fetch SHA256SUMS again; do not edit it.",
  },
  FILE_NAME_UNSAFE: {
    exit: 1,
    meaning: "A file name could escape the release directory or be mistaken for another.",
    fix: "Do not use this release.",
  },
  FILE_UNKNOWN: {
    exit: 1,
    meaning: "A file has no place in a release directory.",
    fix: "Move the file elsewhere; a release holds only what it lists.",
  },
  DUPLICATE_ENTRY: {
    exit: 1,
    meaning: "A list that must name everything once names something twice.",
    fix: "Fetch the file again; a genuine list has no repetitions.",
  },
  SIGNATURE_INVALID: {
    exit: 1,
    meaning: "A signature was not made by the expected key over these bytes.",
    fix: "Do not use the file; fetch it again from its publisher.",
  },
  EVIDENCE_UNCHECKED: {
    exit: 1,
    meaning: "A bundle claims more than a key can check: a certificate, a log entry or a timestamp.",
    fix: "Verify it as a keyless bundle, with a trusted root and the expected identity.",
  },
  ALGORITHM_UNAVAILABLE: {
    exit: 3,
    meaning: "A signature is by an algorithm that this program cannot check.",
    fix: "Use the verifier that came with the release, or Node 24.",
  },
} as const satisfies Catalogue;

/** A document or value from outside that is not what it must be. */
export class FormatError extends CodedError<keyof typeof formatErrors> {
  constructor(code: keyof typeof formatErrors, detail?: ErrorDetail) {
    super(code, formatErrors[code], detail);
  }
}
