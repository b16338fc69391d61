import { readFile, stat } from "node:fs/promises";
import { basename } from "node:path";
import { parseJson } from "@secai/formats/canonical-json";
import { type Sha256, sha256, sha256File } from "@secai/formats/digest";
import { MAX_PAYLOAD_BYTES } from "@secai/formats/dsse";
import { buildStatement, type Statement, subjectOf } from "@secai/formats/statement";
import { SignFileError } from "./errors.ts";

/** What will be signed: the file itself, or a statement about it. */
export type Target =
  | { readonly kind: "file"; readonly sha256: Sha256; readonly bytes: Buffer }
  | { readonly kind: "statement"; readonly sha256: Sha256; readonly statement: Statement<unknown> };

/** As much as `secai verify file` holds in memory. */
const MAX_SIGNED_FILE_BYTES = 256 << 20;

/** @throws SignFileError SIGN_USAGE, SIGN_TARGET_UNUSABLE */
export async function readTarget(
  file: string,
  said: { readonly type?: string | undefined; readonly predicate?: string | undefined },
): Promise<Target> {
  const { type, predicate } = said;
  if ((type === undefined) !== (predicate === undefined))
    throw new SignFileError("SIGN_USAGE", { expected: "--type and --predicate together", actual: "one of them" });
  const found = await stat(file).catch(() => undefined);
  if (found?.isFile() !== true) throw new SignFileError("SIGN_TARGET_UNUSABLE", { expected: "a plain file", actual: file });
  if (type !== undefined && predicate !== undefined) {
    const digest = await sha256File(file);
    const statement = buildStatement(type, [subjectOf(basename(file), digest)], await readPredicate(predicate));
    return { kind: "statement", sha256: digest, statement };
  }
  if (found.size > MAX_SIGNED_FILE_BYTES)
    throw new SignFileError("SIGN_TARGET_UNUSABLE", {
      expected: `at most ${MAX_SIGNED_FILE_BYTES} bytes`,
      actual: `${found.size}`,
    });
  const bytes = await readFile(file);
  return { kind: "file", sha256: sha256(bytes), bytes };
}

async function readPredicate(path: string): Promise<object> {
  const value = await readFile(path)
    .then((bytes) => parseJson(bytes, MAX_PAYLOAD_BYTES))
    .catch((cause: Error) => {
      throw new SignFileError("SIGN_TARGET_UNUSABLE", { expected: `${path}: JSON`, actual: cause.message, cause });
    });
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  throw new SignFileError("SIGN_TARGET_UNUSABLE", { expected: `${path}: a JSON object`, actual: "another value" });
}
