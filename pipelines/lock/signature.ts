import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { runTool, type ToolResult } from "../run-tool.ts";
import { LockError } from "./errors.ts";

/** Where the package debian-archive-keyring of Debian and Ubuntu puts the archive's keys. */
export const DEBIAN_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";

export interface SignedText {
  /** Exactly what was signed. */
  readonly text: string;
  /** Fingerprints of the primary keys that signed, upper-case hex, sorted. */
  readonly signedBy: readonly string[];
}

/** Why gpgv could not check a signature (GnuPG doc/DETAILS, ERRSIG): the key is not in the keyring. */
const NO_PUBLIC_KEY = "9";

/**
 * Checks a clear-signed file with gpgv. Archives sign with several keys, of which an older keyring lacks some: one good signature is
 * enough, one that is wrong is too many. What is returned is gpgv's own copy of the signed part: text around it is not in it.
 * @param directory a private one, for gpgv's files
 * @throws LockError LOCK_SIGNATURE_INVALID, LOCK_SIGNER_UNKNOWN
 */
export async function verifyClearSigned(bytes: Uint8Array, keyring: string, directory: string): Promise<SignedText> {
  const input = join(directory, "signed");
  const output = join(directory, "text");
  await writeFile(input, bytes);
  await rm(output, { force: true });
  const args = ["--homedir", directory, "--keyring", keyring, "--status-fd", "1", "--output", output, input];
  const signedBy = goodSigners(await runTool("gpgv", args), keyring);
  return { text: await readFile(output, "utf8"), signedBy };
}

/**
 * Who made the signatures that gpgv was asked about, by its status lines: at least one known key, and nothing that is wrong.
 * @throws LockError LOCK_SIGNATURE_INVALID, LOCK_SIGNER_UNKNOWN
 */
export function goodSigners({ stdout, stderr }: ToolResult, keyring: string): readonly string[] {
  const status = stdout.split("\n").flatMap((line) => (line.startsWith("[GNUPG:] ") ? [line.split(" ").slice(1)] : []));
  const wrong = status.filter(([word, ...rest]) =>
    word === "ERRSIG"
      ? rest[5] !== NO_PUBLIC_KEY
      : ["BADSIG", "EXPSIG", "EXPKEYSIG", "REVKEYSIG", "NODATA", "UNEXPECTED"].includes(word ?? ""),
  );
  // VALIDSIG's last field is the primary key, its first the subkey that made the signature.
  const signedBy = status.filter(([word]) => word === "VALIDSIG").map((words) => words.at(-1) ?? "");
  const actual = stderr.trim().split("\n").slice(-3).join("; ");
  if (wrong.length > 0) throw new LockError("LOCK_SIGNATURE_INVALID", { expected: "only good signatures", actual });
  if (signedBy.length === 0) throw new LockError("LOCK_SIGNER_UNKNOWN", { expected: `a signer of ${keyring}`, actual });
  return [...new Set(signedBy)].sort();
}
