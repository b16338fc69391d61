import type { Bundle } from "@secai/formats/bundle";
import { parseJson } from "@secai/formats/canonical-json";
import type { Sha256 } from "@secai/formats/digest";
import { MAX_PAYLOAD_BYTES } from "@secai/formats/dsse";
import { CodedError } from "@secai/formats/errors";
import { type ForeignBundle, parseForeignBundle } from "@secai/formats/foreign-bundle";
import type { SigningRole } from "@secai/formats/key-manifest";
import { anyObject, list, literal, object, parseShape, type TypeOf, table, text } from "@secai/formats/shape";
import { CHANNEL_PREDICATE, KEYS_PREDICATE, STATEMENT_TYPE } from "@secai/formats/uris";
import { derive, type Found, found } from "./found.ts";
import type { KeylessTrust } from "./keyless.ts";
import type { VerifyPolicy } from "./release-policy.ts";
import { trustedKeys } from "./release-trust.ts";
import { type RoleKeys, type Signers, signersOf } from "./trust-signers.ts";

/** A statement by any tool: v0.1 too, which cosign writes, and subjects without names or with other digests. */
const anyStatementShape = object(
  {
    _type: literal(STATEMENT_TYPE, "https://in-toto.io/Statement/v0.1"),
    subject: list(
      object({ digest: table(/^[A-Za-z0-9_-]{1,32}$/, text(/^[0-9a-f]{1,256}$/), { max: 8 }) }, { name: text(/^[^\0]*$/) }),
      { min: 1, max: 1000 },
    ),
    predicateType: text(/^[!-~]+$/, 512),
  },
  { predicate: anyObject },
);
export type AnyStatement = TypeOf<typeof anyStatementShape>;

export interface FileQuestion {
  /** As the caller named it. */
  readonly target: string;
  readonly sha256: Sha256;
  /** The file's bytes; undefined when it is too large to be a signed document, and then only its digest can be a subject. */
  readonly bytes: Buffer | undefined;
  /** Bundles by name, the first signer's first. */
  readonly bundles: readonly { readonly name: string; readonly bytes: Buffer }[];
  /** The statement must be about the file; otherwise it may also say the file or be it. */
  readonly subjectOnly: boolean;
  /** The predicate type that is expected, compared whole; undefined: any. */
  readonly predicateType: string | undefined;
  readonly policy: VerifyPolicy;
  /** For bundles with a certificate instead of a key. */
  readonly keyless: KeylessTrust | undefined;
}

export interface FileEvidence {
  readonly question: FileQuestion;
  readonly atMs: number;
  readonly bundles: readonly { readonly name: string; readonly bundle: Found<ForeignBundle> }[];
  /** Undefined for a keyless bundle: an identity takes the place of keys. */
  readonly keys: Found<RoleKeys> | undefined;
  readonly signers: Found<Signers>;
  /** Undefined for a signature over the file itself. */
  readonly statement: Found<AnyStatement> | undefined;
}

/** Reads and tries the bundles; nothing is believed that nobody who is trusted signed. */
export async function gatherFileEvidence(question: FileQuestion): Promise<FileEvidence> {
  const atMs = question.policy.atMs ?? Date.now();
  const bundles = question.bundles.map(({ name, bytes }) => ({ name, bundle: derive(found(bytes), parseForeignBundle) }));
  const readable = bundles.flatMap(({ name, bundle }) => (bundle.state === "found" ? [{ name, bundle: bundle.value }] : []));
  const isStatement = readable[0]?.bundle.kind === "statement";
  const keyless = readable.some(({ bundle }) => bundle.evidence.certificates.length > 0);
  const keys = keyless ? undefined : trustedKeys(question.policy, roleFor(readable[0]?.bundle), atMs);
  const signers =
    keys === undefined ? await keylessSigners(question, isStatement) : keySigners(question, readable, keys, isStatement);
  const payload = derive(signers, ({ payload: signed }) => signed ?? Buffer.alloc(0));
  const statement = isStatement ? derive(payload, parseAnyStatement) : undefined;
  return { question, atMs, bundles, keys, signers, statement };
}

function parseAnyStatement(payload: Buffer): AnyStatement {
  return parseShape(anyStatementShape, parseJson(payload, MAX_PAYLOAD_BYTES), "an in-toto statement");
}

/** Whose keys may sign a statement of this type: what is claimed here decides only which keys are tried. */
function roleFor(bundle: ForeignBundle | undefined): SigningRole {
  if (bundle?.kind !== "statement") return "release";
  const claimed = derive(found(bundle.payload), parseAnyStatement);
  const type = claimed.state === "found" ? claimed.value.predicateType : "";
  if (type === KEYS_PREDICATE) return "root";
  return type === CHANNEL_PREDICATE ? "channel" : "release";
}

function keySigners(
  { bytes }: FileQuestion,
  readable: readonly { readonly name: string; readonly bundle: ForeignBundle }[],
  keys: Found<RoleKeys>,
  isStatement: boolean,
): Found<Signers> {
  if (!isStatement && bytes === undefined)
    return { state: "absent", code: "FILE_TOO_LARGE", detail: "the file is too large for a signature over all of it" };
  // What a bundle claims beyond a key's signature stays in it and is refused by whoever verifies the signature.
  const named = readable.map(({ name, bundle }) => ({ name, bundle: { ...bundle, keyHint: bundle.keyHint ?? "" } as Bundle }));
  return derive(keys, (role) => signersOf(named, role, isStatement ? undefined : bytes));
}

/** A keyless bundle has one signer, and what it signed. The libraries that it takes are loaded only now. */
async function keylessSigners({ bundles, bytes, keyless }: FileQuestion, isStatement: boolean): Promise<Found<Signers>> {
  const [first, ...more] = bundles;
  if (first === undefined || more.length > 0)
    return { state: "refused", code: "SIGNATURE_UNCOUNTED", expected: "one keyless bundle", actual: `${bundles.length}` };
  if (keyless === undefined)
    return {
      state: "absent",
      code: "KEY_UNAVAILABLE",
      detail: "a certificate signed: pass --trusted-root, --identity and --issuer",
    };
  const { verifyKeylessBlob, verifyKeylessStatement } = await import("./keyless.ts");
  const signed = async (): Promise<Buffer> => {
    if (isStatement) return verifyKeylessStatement(first.bytes, keyless, []);
    await verifyKeylessBlob(first.bytes, bytes ?? Buffer.alloc(0), keyless);
    return bytes ?? Buffer.alloc(0);
  };
  const result = await signed().then(
    (value) => () => value,
    (error: unknown) => {
      // A trusted root that cannot be read is the caller's mistake and no verdict.
      if (error instanceof CodedError && error.exit === 2) throw error;
      return () => {
        throw error;
      };
    },
  );
  return derive(derive(found(undefined), result), (payload): Signers => ({ counted: [], uncounted: [], payload }));
}
