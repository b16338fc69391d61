import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { type Designation, designations } from "@secai/formats/designation";
import { parseSha256, type Sha256 } from "@secai/formats/digest";
import { FormatError } from "@secai/formats/errors";
import { MAX_KEY_MANIFEST_BYTES, parseKeyManifest } from "@secai/formats/key-manifest";
import { defaultKeysDirectory, MAX_KEY_FILE_BYTES, type PublicKey, parsePublicKey } from "@secai/formats/keys";
import { timestampShape } from "@secai/formats/shapes";
import type { CommandIo } from "./command.ts";
import { VerifyError } from "./errors.ts";
import { MAX_POLICY_BYTES, type PolicyFile, parsePolicyFile } from "./policy-file.ts";
import { knownBuilders, type VerifyPolicy } from "./release-policy.ts";

/** Options that say whom to trust, of every command that verifies. */
export const trustOptions = {
  key: { type: "string", multiple: true },
  fingerprint: { type: "string", multiple: true },
  "key-manifest": { type: "string" },
  policy: { type: "string" },
  at: { type: "string" },
} as const;

/** What those options and those about releases may hold; `policy` here is the parsed file, never a path. */
export interface TrustValues {
  readonly key?: readonly string[];
  readonly fingerprint?: readonly string[];
  readonly "key-manifest"?: string;
  readonly at?: string;
  readonly designation?: readonly string[];
  readonly builder?: readonly string[];
  readonly without?: readonly string[];
  readonly release?: string;
}

/**
 * Whom the options trust and what they expect. Options take the place of what the policy file says about the same thing; what neither
 * says is the strict default's.
 * @throws VerifyError, FormatError
 */
export async function policyFrom(values: TrustValues, { env }: Pick<CommandIo, "env">, file?: PolicyFile): Promise<VerifyPolicy> {
  const given = await Promise.all((values.key ?? []).map(loadPublicKey));
  const named = (values.fingerprint ?? []).map(parseSha256);
  const manifest = values["key-manifest"];
  const flagged = given.length + named.length > 0 || manifest !== undefined;
  const anchors = flagged ? named : ((file?.anchors.fingerprints ?? []) as readonly Sha256[]);
  const own = !flagged && anchors.length === 0;
  const { at } = values;
  return {
    ...(file !== undefined && rulesIn(file)),
    ...(flagged && { threshold: 1 }),
    ...(own ? await loadOwnTrust(env) : { keys: given }),
    fingerprints: anchors,
    designations:
      values.designation?.map(parseDesignation) ?? file?.designations ?? (own ? designations : ["candidate", "stable"]),
    builders: values.builder ?? file?.builders ?? knownBuilders,
    without: values.without ?? [],
    ...(manifest !== undefined && { keyManifest: await loadKeyManifest(manifest) }),
    ...(values.release !== undefined && { version: values.release }),
    ...(at !== undefined && { atMs: momentOf(at) }),
  };
}

function rulesIn({ name, anchors, signatures, requiredStatements, requiredTests, freshness, ...rest }: PolicyFile) {
  const { sources, workflow, minimumVersion, minimumSequence, exposedPorts } = rest;
  return {
    name,
    threshold: anchors.threshold,
    signatures,
    requiredStatements,
    requiredTests,
    freshness,
    ...(sources !== undefined && { sources }),
    ...(workflow !== undefined && { workflow }),
    ...(minimumVersion !== undefined && { minimumVersion }),
    ...(minimumSequence !== undefined && { minimumSequence }),
    ...(exposedPorts !== undefined && { exposedPorts }),
  };
}

/** @throws VerifyError VERIFY_USAGE (no such file), FormatError */
export async function loadPolicyFile(path: string | undefined): Promise<PolicyFile | undefined> {
  if (path === undefined) return undefined;
  return asUsage("POLICY_MALFORMED", path, parsePolicyFile, await readInput(path, MAX_POLICY_BYTES, "a policy"));
}

/** What the caller brought and cannot be read is a wrong question, not a verdict. */
function asUsage<T>(code: "POLICY_MALFORMED" | "TRUST_MALFORMED", path: string, parse: (bytes: Buffer) => T, bytes: Buffer): T {
  try {
    return parse(bytes);
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    const { expected, actual } = cause;
    throw new VerifyError(code, { expected: `${path}: ${expected ?? cause.code}`, actual: actual ?? cause.code, cause });
  }
}

/** A key manifest that somebody handed out; which of its keys count is decided where it is used. */
async function loadKeyManifest(path: string): Promise<Buffer> {
  const bytes = await readInput(path, MAX_KEY_MANIFEST_BYTES, "a key manifest");
  asUsage("TRUST_MALFORMED", path, parseKeyManifest, bytes);
  return bytes;
}

function momentOf(text: string): number {
  const ms = Date.parse(text);
  if (timestampShape.mistake(text, "") === undefined && Number.isFinite(ms)) return ms;
  throw new VerifyError("VERIFY_USAGE", { expected: "--at with a time like 2026-01-31T09:30:00Z", actual: text });
}

/** This user's own keys: the manifest that gives them their roles, or before there is one the release key alone. */
async function loadOwnTrust(env: CommandIo["env"]): Promise<Pick<VerifyPolicy, "keys" | "keyManifest">> {
  const dir = defaultKeysDirectory(env);
  const key = join(dir, "release.pub");
  try {
    return { keys: [], keyManifest: await loadKeyManifest(join(dir, "keys.json")) };
  } catch (missing) {
    if (!(missing instanceof VerifyError) || missing.code !== "VERIFY_USAGE") throw missing;
    const keys = await loadPublicKey(key).catch((cause: unknown) => {
      if (!(cause instanceof VerifyError)) throw cause;
      throw new VerifyError("TRUST_ROOT_MISSING", { expected: `--key, --fingerprint or ${key}`, actual: "none", cause });
    });
    return { keys: [keys] };
  }
}

/** @throws VerifyError VERIFY_USAGE (no such file), FormatError KEY_MALFORMED */
async function loadPublicKey(path: string): Promise<PublicKey> {
  return parsePublicKey(await readInput(path, MAX_KEY_FILE_BYTES, "a public key"));
}

/**
 * A file that the caller named, up to a byte more than its parser accepts, so that the parser says when it is too large.
 * @throws VerifyError VERIFY_USAGE
 */
export async function readInput(path: string, maxBytes: number, what: string): Promise<Buffer> {
  try {
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      // By the file's own size: a limit of megabytes must not cost megabytes for a file of a few bytes.
      const length = Math.min(Number((await file.stat()).size), maxBytes) + 1;
      const { bytesRead, buffer } = await file.read(Buffer.alloc(length), 0, length, 0);
      return buffer.subarray(0, bytesRead);
    } finally {
      await file.close();
    }
  } catch (cause) {
    throw new VerifyError("VERIFY_USAGE", { expected: `${what} in ${path}`, actual: (cause as Error).message, cause });
  }
}

function parseDesignation(name: string): Designation {
  const found = designations.find((one) => one === name);
  if (found === undefined) throw new VerifyError("VERIFY_USAGE", { expected: designations.join(" or "), actual: name });
  return found;
}
