import { canonicalJson } from "@secai/formats/canonical-json";
import { anyObject, list, literal, object, parseShape, table, text } from "@secai/formats/shape";
import { SilverblueError } from "./errors.ts";

// containers-policy.json(5), containers-registries.d(5).

export const POLICY_PATH = "etc/containers/policy.json";
/** Where the machine looks for signatures of our repository: beside the image, as an attachment. */
export const REGISTRIES_PATH = "etc/containers/registries.d/secure-ai.yaml";
export const KEY_FOLDER = "etc/pki/containers";

/** Where container tools look as well, before or after: a user's own policy wins over the machine's. */
export const OTHER_POLICIES: readonly string[] = [
  "usr/share/containers/policy.json",
  ...["root", "var/roothome", "etc/skel"].map((home) => `${home}/.config/containers/policy.json`),
];

const MAX_POLICY_BYTES = 64 << 10;

const refused = (expected: string, actual: string, cause?: unknown): SilverblueError =>
  new SilverblueError("POLICY_REFUSED", { expected, actual, cause });

/** "registry.example:5000/os/appliance". @throws SilverblueError POLICY_REFUSED for a tag, a digest, a wild card or a bare host */
export function parseRepository(repository: string): string {
  const host = "[a-z0-9]+(?:[.-][a-z0-9]+)*(?::[1-9][0-9]{0,4})?";
  const path = "(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)+";
  if (!new RegExp(`^${host}${path}$`).test(repository) || repository.length > 255)
    throw refused("HOST/PATH without tag or digest", repository.slice(0, 300));
  return repository;
}

/** One rule accepts: images of the repository, signed by one of the keys; everything else is rejected, whatever brings it. */
export function buildPolicy(repository: string, keyNames: readonly string[]): string {
  const keyPaths = keyNames.map((name) => `/${KEY_FOLDER}/${name}`);
  const [only, ...more] = keyPaths;
  const key = more.length === 0 ? { keyPath: only } : { keyPaths };
  const rule = { type: "sigstoreSigned", ...key, signedIdentity: { type: "matchRepository" } };
  const policy = { default: [{ type: "reject" }], transports: { docker: { [parseRepository(repository)]: [rule] } } };
  return `${canonicalJson(policy)}\n`;
}

export function buildRegistries(repository: string): string {
  return `# Signatures of our images lie beside them in the registry.\ndocker:\n  ${parseRepository(repository)}:\n    use-sigstore-attachments: true\n`;
}

const keyPath = text(/^\/etc\/pki\/containers\/[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, 128);
const rejectShape = object({ type: literal("reject") });
const signedShape = object(
  { type: literal("sigstoreSigned"), signedIdentity: object({ type: literal("matchRepository") }) },
  { keyPath, keyPaths: list(keyPath, { min: 2, max: 8 }) },
);
const policyShape = object({ default: list(rejectShape, { min: 1, max: 1 }), transports: table(/^[a-z-]{1,64}$/, anyObject) });

/**
 * Which keys a policy trusts. It must be the policy that `buildPolicy` makes for this repository, in any spelling: a second rule, another
 * transport, a rule that accepts anything or one for a wider scope is refused.
 * @throws SilverblueError POLICY_REFUSED
 */
export function checkPolicy(bytes: Uint8Array, repository: string): readonly string[] {
  if (bytes.length > MAX_POLICY_BYTES) throw refused(`at most ${MAX_POLICY_BYTES} bytes`, `${bytes.length}`);
  try {
    const policy = parseShape(
      policyShape,
      JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)),
      "the container policy",
    );
    const rules = requireOnly(requireOnly(policy.transports, "docker"), parseRepository(repository));
    const [rule] = parseShape(list(signedShape, { min: 1, max: 1 }), rules, "the one accepting rule");
    if (rule === undefined || (rule.keyPath === undefined) === (rule.keyPaths === undefined))
      throw refused("keyPath or keyPaths", "both or none");
    return rule.keyPaths ?? [rule.keyPath ?? ""];
  } catch (cause) {
    if (cause instanceof SilverblueError) throw cause;
    throw refused(`reject all but ${repository} signed by our key`, (cause as Error).message, cause);
  }
}

function requireOnly(table: Readonly<Record<string, unknown>>, name: string): Readonly<Record<string, unknown>> {
  const names = Object.keys(table);
  if (names.length !== 1 || names[0] !== name) throw refused(`only ${name}`, names.join(", ") || "nothing");
  return table[name] as Readonly<Record<string, unknown>>;
}

/** A public key in PEM, and nothing beside it: no private key may reach the image. @throws SilverblueError POLICY_REFUSED */
export function checkKey(name: string, pem: string): void {
  const blocks = [...pem.matchAll(/-----BEGIN ([A-Z ]+)-----/g)].map(([, kind]) => kind);
  if (blocks.length !== 1 || blocks[0] !== "PUBLIC KEY")
    throw refused(`one PUBLIC KEY in ${name}`, blocks.join(", ") || "no PEM");
}
