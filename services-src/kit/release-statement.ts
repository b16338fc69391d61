import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { parseBundle } from "@secai/formats/bundle";
import { CodedError } from "@secai/formats/errors";
import { hintOf, type PublicKey, parsePublicKey } from "@secai/formats/keys";
import { bundleOf, MEASUREMENTS_FILE, signedFileOf } from "@secai/formats/release-layout";
import { verifyStatementBundle } from "@secai/formats/signature";
import { parseStatement } from "@secai/formats/statement";
import { MEASURED_BOOT_PREDICATE } from "@secai/formats/uris";
import { MAX_STATEMENT_BYTES } from "./api/enrolment.ts";
import { DeploymentError } from "./deployment-errors.ts";
import { readBounded } from "./files.ts";

const ROOT_HASH = /^[0-9a-f]{64}$/;
/** One for each key that signed; nobody has as many. */
const MAX_BUNDLES = 64;

/**
 * The bytes of the release's statement about measured boot that one of the pinned keys signed, about that very root hash: of several
 * signers' bundles the first that counts. The directory may have changed since it was verified, so nothing but the signature is believed.
 * @throws DeploymentError UPDATE_STATEMENT_ABSENT, UPDATE_STATEMENT_UNTRUSTED, UPDATE_STATEMENT_FOREIGN
 */
export async function trustedStatement(directory: string, rootHash: string, pems: readonly string[]): Promise<Buffer> {
  const keys = pinnedKeys(pems);
  const refusals: DeploymentError[] = [];
  for (const name of await bundleNames(directory)) {
    try {
      const bytes = await readBounded(join(directory, name), MAX_STATEMENT_BYTES);
      const actual = promisedRoot(bytes, keys);
      if (actual === rootHash) return bytes;
      refusals.push(new DeploymentError("UPDATE_STATEMENT_FOREIGN", { expected: `a statement about ${rootHash}`, actual }));
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      refusals.push(untrusted(`${name}: ${error.code}: ${error.actual ?? "-"}`, error));
    }
  }
  throw refusals.find(({ code }) => code === "UPDATE_STATEMENT_FOREIGN") ?? refusals[0] ?? absent(directory);
}

function pinnedKeys(pems: readonly string[]): ReadonlyMap<string, PublicKey> {
  try {
    return new Map(pems.map((pem) => parsePublicKey(Buffer.from(pem))).map((key) => [hintOf(key), key]));
  } catch (cause) {
    throw new DeploymentError("UPDATE_ENROLMENT_UNREADABLE", {
      expected: "pinned statement keys that are keys",
      actual: (cause as Error).message,
      cause,
    });
  }
}

async function bundleNames(directory: string): Promise<readonly string[]> {
  const names = await readdir(directory).catch((cause: Error) => {
    throw absent(`${directory}: ${cause.message}`);
  });
  const first = bundleOf(MEASUREMENTS_FILE);
  const bundles = names.filter((name) => signedFileOf(name) === MEASUREMENTS_FILE);
  return bundles.sort((a, b) => Number(b === first) - Number(a === first) || (a < b ? -1 : 1)).slice(0, MAX_BUNDLES);
}

/** @throws FormatError; DeploymentError UPDATE_STATEMENT_UNTRUSTED */
function promisedRoot(bytes: Uint8Array, keys: ReadonlyMap<string, PublicKey>): string {
  const bundle = parseBundle(bytes);
  const key = keys.get(bundle.keyHint);
  if (key === undefined || bundle.kind !== "statement")
    throw untrusted(`a ${bundle.kind} by ${Buffer.from(bundle.keyHint, "base64").toString("hex")}`);
  const { predicateType, predicate } = parseStatement(verifyStatementBundle(bundle, key));
  const { rootHash } = predicate;
  if (predicateType !== MEASURED_BOOT_PREDICATE || typeof rootHash !== "string" || !ROOT_HASH.test(rootHash))
    throw untrusted(`a statement of type ${predicateType}`);
  return rootHash;
}

/**
 * The root hash that a statement speaks of, whoever signed it; undefined for a file that is none. For housekeeping only: never to believe it.
 */
export function claimedRoot(bytes: Uint8Array): string | undefined {
  try {
    const bundle = parseBundle(bytes);
    const { rootHash } = bundle.kind === "statement" ? parseStatement(bundle.payload).predicate : {};
    return typeof rootHash === "string" && ROOT_HASH.test(rootHash) ? rootHash : undefined;
  } catch (error) {
    if (error instanceof CodedError) return undefined;
    throw error;
  }
}

function untrusted(actual: string, cause?: unknown): DeploymentError {
  return new DeploymentError("UPDATE_STATEMENT_UNTRUSTED", { expected: "a statement by a pinned key", actual, cause });
}

function absent(actual: string): DeploymentError {
  return new DeploymentError("UPDATE_STATEMENT_ABSENT", { expected: bundleOf(MEASUREMENTS_FILE), actual: `none in ${actual}` });
}
