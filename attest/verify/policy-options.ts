import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { type Designation, designations } from "@secai/formats/designation";
import { parseSha256, type Sha256 } from "@secai/formats/digest";
import { MAX_KEY_MANIFEST_BYTES } from "@secai/formats/key-manifest";
import { defaultKeysDirectory, MAX_KEY_FILE_BYTES, type PublicKey, parsePublicKey } from "@secai/formats/keys";
import { parseShape } from "@secai/formats/shape";
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
  const at = values.at ?? undefined;
  return {
    ...(file !== undefined && rulesIn(file)),
    ...(flagged && { threshold: 1 }),
    ...(own ? await loadOwnTrust(env) : { keys: given }),
    fingerprints: anchors,
    designations:
      values.designation?.map(parseDesignation) ?? file?.designations ?? (own ? designations : ["candidate", "stable"]),
    builders: values.builder ?? file?.builders ?? knownBuilders,
    without: values.without ?? [],
    ...(manifest !== undefined && { keyManifest: await readInput(manifest, MAX_KEY_MANIFEST_BYTES, "a key manifest") }),
    ...(values.release !== undefined && { version: values.release }),
    ...(at !== undefined && { atMs: Date.parse(parseShape(timestampShape, at, "--at, a time like 2026-01-31T09:30:00Z")) }),
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
  return path === undefined ? undefined : parsePolicyFile(await readInput(path, MAX_POLICY_BYTES, "a policy"));
}

/** This user's own keys: the manifest that gives them their roles, or before there is one the release key alone. */
async function loadOwnTrust(env: CommandIo["env"]): Promise<Pick<VerifyPolicy, "keys" | "keyManifest">> {
  const dir = defaultKeysDirectory(env);
  const key = join(dir, "release.pub");
  try {
    return { keys: [], keyManifest: await readInput(join(dir, "keys.json"), MAX_KEY_MANIFEST_BYTES, "a key manifest") };
  } catch (missing) {
    if (!(missing instanceof VerifyError)) throw missing;
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
