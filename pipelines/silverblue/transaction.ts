import { lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { parseJson } from "@secai/formats/canonical-json";
import { sha256File } from "@secai/formats/digest";
import { integer, list, literal, object, parseShape, type TypeOf, text } from "@secai/formats/shape";
import { SilverblueError } from "./errors.ts";

const name = text(/^[A-Za-z0-9][A-Za-z0-9+._-]{0,127}$/, 128);
const part = text(/^[A-Za-z0-9][A-Za-z0-9+._~^]{0,127}$/, 128);

const lockedRpm = object({
  name,
  epoch: integer(0, 0xffff_ffff),
  version: part,
  release: part,
  arch: text(/^(noarch|x86_64|i686|aarch64)$/, 16),
  file: text(/^[A-Za-z0-9][A-Za-z0-9+._~^-]{0,250}\.rpm$/, 255),
  size: integer(1, 4 * 2 ** 30),
  sha256: text(/^[0-9a-f]{64}$/, 64),
});
export type LockedRpm = TypeOf<typeof lockedRpm>;

const transactionShape = object({
  schema: literal(1),
  install: list(lockedRpm),
  remove: list(name),
  absentCommands: list(text(/^[A-Za-z0-9][A-Za-z0-9+._-]{0,63}$/, 64)),
});
/** What happens to the base's packages: all of it, and nothing else. */
export type Transaction = TypeOf<typeof transactionShape>;

const MAX_BYTES = 16 << 20;

/** "1:bash-5.2.37-1.fc42.x86_64"; the epoch always stands there, so that two versions never look alike. */
export const nevra = (rpm: Pick<LockedRpm, "name" | "epoch" | "version" | "release" | "arch">): string =>
  `${rpm.epoch}:${rpm.name}-${rpm.version}-${rpm.release}.${rpm.arch}`;

function duplicate(items: readonly string[]): string | undefined {
  return items.find((item, index) => items.indexOf(item) !== index);
}

/** @throws SilverblueError TRANSACTION_MALFORMED */
export function parseTransaction(bytes: Uint8Array): Transaction {
  let transaction: Transaction;
  try {
    transaction = parseShape(transactionShape, parseJson(bytes, MAX_BYTES), "a transaction");
  } catch (cause) {
    throw new SilverblueError("TRANSACTION_MALFORMED", { expected: "a transaction", actual: (cause as Error).message, cause });
  }
  const { install, remove } = transaction;
  const twice =
    duplicate(install.map(({ file }) => file)) ?? duplicate(install.map((rpm) => `${rpm.name}.${rpm.arch}`)) ?? duplicate(remove);
  if (twice !== undefined) throw new SilverblueError("TRANSACTION_MALFORMED", { expected: "everything once", actual: twice });
  const both = remove.find((one) => install.some((rpm) => rpm.name === one));
  if (both !== undefined)
    throw new SilverblueError("TRANSACTION_MALFORMED", { expected: "install or remove, not both", actual: both });
  return transaction;
}

/**
 * The folder holds exactly the packages of the lock, byte for byte.
 * @throws SilverblueError RPM_STORE_DIFFERS
 */
export async function checkStore(folder: string, { install }: Transaction): Promise<void> {
  const differs = (expected: string, actual: string) => new SilverblueError("RPM_STORE_DIFFERS", { expected, actual });
  const wanted = new Map(install.map((rpm) => [rpm.file, rpm]));
  const superfluous = readdirSync(folder).find((file) => !wanted.has(file));
  if (superfluous !== undefined) throw differs("only packages of the lock", superfluous);
  for (const { file, size, sha256 } of install) {
    const stat = lstatSync(join(folder, file), { throwIfNoEntry: false });
    if (stat?.isFile() !== true) throw differs(file, "no such file");
    if (stat.size !== size) throw differs(`${size} bytes in ${file}`, String(stat.size));
    const actual = await sha256File(join(folder, file));
    if (actual !== sha256) throw differs(`sha256 ${sha256} of ${file}`, actual);
  }
}

export interface Comparison {
  readonly before: ReadonlySet<string>;
  readonly after: ReadonlySet<string>;
}

/** The name in "0:bash-5.2.37-1.fc42.x86_64" with its architecture: "bash.x86_64". */
export function nameArch(one: string): string {
  const found = /^\d+:(?<name>.+)-[^-]+-[^-]+\.(?<arch>[^.]+)$/.exec(one)?.groups;
  return `${found?.name}.${found?.arch}`;
}

/**
 * What came is the lock; what went is what the recipe removes or the lock replaces by another version of the same name.
 * @throws SilverblueError TRANSACTION_DIFFERS
 */
export function checkTransaction({ install, remove }: Transaction, { before, after }: Comparison): void {
  const locked = new Set(install.map(nevra));
  const differs = (expected: string, actual: readonly string[]) =>
    new SilverblueError("TRANSACTION_DIFFERS", { expected, actual: actual.slice(0, 10).join(", ") });
  const missing = [...locked].filter((one) => !after.has(one));
  if (missing.length > 0)
    throw differs(
      "every package of the lock",
      missing.map((one) => `${one} is not installed`),
    );
  const extra = [...after].filter((one) => !before.has(one) && !locked.has(one));
  if (extra.length > 0) throw differs("no package beside the base and the lock", extra);
  const replaced = new Set([...locked].map(nameArch));
  const gone = [...before].filter((one) => !after.has(one));
  const unasked = gone.filter(
    (one) => !replaced.has(nameArch(one)) && !remove.some((name) => nameArch(one).startsWith(`${name}.`)),
  );
  if (unasked.length > 0) throw differs("nothing removed that the recipe does not name", unasked);
}
