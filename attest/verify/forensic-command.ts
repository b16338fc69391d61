import { createHash, createPublicKey } from "node:crypto";
import { parseArgs } from "node:util";
import { CodedError } from "@secai/formats/errors";
import { MAX_FORENSIC_BYTES, verifyForensic } from "@secai/formats/forensic";
import { MAX_KEY_FILE_BYTES } from "@secai/formats/keys";
import type { CommandIo } from "./command.ts";
import { VerifyError } from "./errors.ts";
import { type ForensicReport, summaryOf } from "./forensic-report.ts";
import { forensicJson, forensicText } from "./forensic-text.ts";
import { readPlainFile } from "./plain-file.ts";
import { readInput } from "./policy-options.ts";

export const FORENSIC_HELP = `secai verify forensic FILE --key PEM: did this machine's incident recorder export exactly this?

FILE is what the recorder answered to /api/v1/forensic/export: all incidents, the end of the audit log, signed as one. The file is read
once, at this very name (a symbolic link is refused), and at most 64 MiB of it. No network.

Whom to trust (never read from FILE):
  --key FILE            the machine's incident-recorder-signing.pub, in PEM, kept from before: whoever holds the machine now could
                        hand out another
Output:
  --json                the report alone, on standard output (docs/schemas/forensic-report.schema.json)
  --verbose             also who reported each incident, and what they said
  --help

What is checked: the signature over every byte; that each incident is there once and as many as were counted; that the audit records follow
one another up to the head that the bundle names. Not checked: the authenticity of each audit record on its own, which takes the machine's
secret key; on the machine, secai audit verify does that.

Exit status: 0 accepted, 1 rejected, 2 wrong use, 3 undecided (the file cannot be read, or changed meanwhile), 70 our bug.

Examples:
  secai verify forensic forensic.json --key incident-recorder-signing.pub
  secai verify forensic forensic.json --key incident-recorder-signing.pub --verbose
  secai verify forensic forensic.json --key incident-recorder-signing.pub --json > report.json
`;

const options = {
  key: { type: "string", multiple: true },
  json: { type: "boolean" },
  verbose: { type: "boolean" },
  help: { type: "boolean", short: "h" },
} as const;

/** @throws VerifyError for a question that cannot be asked or answered; the answer is the exit status */
export async function runVerifyForensic(args: readonly string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parse(args);
  if (values.help) {
    io.stdout(FORENSIC_HELP);
    return 0;
  }
  const [file, ...more] = positionals;
  if (file === undefined || more.length > 0)
    throw new VerifyError("VERIFY_USAGE", { expected: "one file", actual: `${positionals.length}` });
  const report = await verifyFile(file, await loadKey(values.key ?? []));
  if (values.json) {
    io.stdout(forensicJson(report));
    io.stderr(`${report.verdict}${report.refusal === undefined ? "" : ` ${report.refusal.code}`}\n`);
  } else {
    const colour = io.colour === true && !io.env.NO_COLOR;
    io.stdout(forensicText(report, { colour, verbose: values.verbose === true }));
  }
  return report.verdict === "accepted" ? 0 : 1;
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
  } catch (cause) {
    throw new VerifyError("VERIFY_USAGE", { expected: "known options", actual: (cause as Error).message, cause });
  }
}

interface TrustedKey {
  readonly pem: string;
  /** SHA-256 of the SubjectPublicKeyInfo. */
  readonly fingerprint: string;
}

/** @throws VerifyError TRUST_ROOT_MISSING, VERIFY_USAGE, TRUST_KEY_UNUSABLE */
async function loadKey(paths: readonly string[]): Promise<TrustedKey> {
  const [path, ...more] = paths;
  if (path === undefined)
    throw new VerifyError("TRUST_ROOT_MISSING", {
      expected: "--key FILE",
      actual: "none",
      fix: "Pass --key FILE with the incident-recorder-signing.pub that was kept of this machine.",
    });
  if (more.length > 0) throw new VerifyError("VERIFY_USAGE", { expected: "one --key", actual: `${paths.length}` });
  const pem = (await readInput(path, MAX_KEY_FILE_BYTES, "a public key")).toString("latin1");
  try {
    // OpenSSL would also take a private key or a certificate and make a public key of it.
    if (!/^-----BEGIN PUBLIC KEY-----\n[A-Za-z0-9+/=\n]+-----END PUBLIC KEY-----\n?$/.test(pem))
      throw new TypeError("other text");
    const key = createPublicKey(pem);
    if (key.asymmetricKeyType !== "ed25519") throw new TypeError(`a key of type ${key.asymmetricKeyType}`);
    const spki = key.export({ format: "der", type: "spki" });
    return { pem, fingerprint: createHash("sha256").update(spki).digest("hex") };
  } catch (cause) {
    throw new VerifyError("TRUST_KEY_UNUSABLE", {
      expected: `one Ed25519 public key in PEM in ${path}`,
      actual: (cause as Error).message,
      cause,
    });
  }
}

/** @throws VerifyError TARGET_MISSING, TARGET_UNREADABLE */
async function verifyFile(target: string, { pem, fingerprint }: TrustedKey): Promise<ForensicReport> {
  const head = { schema: 1, kind: "forensic", target, key: fingerprint } as const;
  try {
    const bundle = verifyForensic(await readPlainFile(target, MAX_FORENSIC_BYTES), pem);
    return { ...head, verdict: "accepted", summary: summaryOf(bundle) };
  } catch (error) {
    if (!(error instanceof CodedError) || error.exit !== 1) throw error;
    const { code, expected = "-", actual = "-", fix } = error;
    return { ...head, verdict: "rejected", refusal: { code, expected, actual, fix } };
  }
}
