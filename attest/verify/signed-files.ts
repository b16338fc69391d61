import type { Bundle } from "@secai/formats/bundle";
import { FormatError } from "@secai/formats/errors";
import { hintOf, type PublicKey } from "@secai/formats/keys";
import { signedFileOf } from "@secai/formats/release-layout";
import { verifyMessageBundle, verifyStatementBundle } from "@secai/formats/signature";
import { derive, type Found } from "./found.ts";

/** One bundle of a file, and the key that signed in it. */
export interface CheckedBundle {
  readonly name: string;
  readonly bundle: Found<Bundle>;
  /** The trusted key, or why no signature of this bundle counts. */
  readonly signer: Found<PublicKey>;
  /** What was signed: the payload of a statement; the file itself of a message. */
  readonly payload: Found<Buffer>;
}

/** Every bundle beside a file, the first signer's first. */
export type CheckedBundles = readonly CheckedBundle[];

/** Names of the bundles of each signed file among `names`, the one without a tag first. */
export function bundlesByFile(names: Iterable<string>): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, string[]>();
  for (const name of [...names].sort((a, b) => a.length - b.length || (a < b ? -1 : 1))) {
    const file = signedFileOf(name);
    if (file === undefined) continue;
    const bundles = found.get(file);
    if (bundles === undefined) found.set(file, [name]);
    else bundles.push(name);
  }
  return found;
}

/**
 * Tries each bundle under the key that it claims, if that is one of `keys`; of several keys the claim decides only which one is tried.
 * `message`: the file's own bytes where the bundle is a signature beside it, undefined where it must carry a statement.
 */
export function checkBundle(
  name: string,
  bundle: Found<Bundle>,
  keys: Found<readonly PublicKey[]>,
  message: Found<Buffer> | undefined,
): CheckedBundle {
  if (keys.state !== "found") return { name, bundle, signer: keys, payload: keys };
  const payload = derive(bundle, (signed): { readonly key: PublicKey; readonly bytes: Buffer } => {
    const key = keys.value.find((candidate) => hintOf(candidate) === signed.keyHint) ?? keys.value[0];
    if (key === undefined) throw new FormatError("SIGNATURE_INVALID", { expected: "a trusted key", actual: signed.keyHint });
    if (message === undefined) {
      if (signed.kind === "statement") return { key, bytes: verifyStatementBundle(signed, key) };
      throw new FormatError("SIGNATURE_INVALID", { expected: "a signed statement", actual: "a signed file" });
    }
    if (signed.kind !== "message")
      throw new FormatError("SIGNATURE_INVALID", { expected: "a signed file", actual: "a signed statement" });
    const bytes = message.state === "found" ? message.value : Buffer.alloc(0);
    verifyMessageBundle(signed, bytes, key);
    return { key, bytes };
  });
  return {
    name,
    bundle,
    signer: derive(payload, ({ key }) => key),
    payload: derive(payload, ({ bytes }) => bytes),
  };
}
