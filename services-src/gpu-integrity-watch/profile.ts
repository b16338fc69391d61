import { parseYaml } from "@secai/kit/config";
import { sha256 } from "@secai/kit/digest";
import { KitError } from "@secai/kit/errors";
import { type Address, parseAddress } from "@secai/kit/listen";
import { type Profile, profileShape } from "./profile-schema.ts";

export const MAX_PROFILE_BYTES = 64 * 1024;

export interface LoadedProfile extends Profile {
  /** SHA-256 of the file's bytes. */
  readonly digest: string;
  readonly inferenceAddress: Address;
}

/** @throws KitError CONFIG_SYNTAX, CONFIG_SCHEMA, ADDRESS_NOT_LOCAL */
export function parseProfile(bytes: Uint8Array): LoadedProfile {
  const profile = parseYaml("default-profile.yaml", bytes, profileShape);
  for (const key of ["probes", "actions", "sentinels"] as const) requireDistinct(key, profile[key]);
  return Object.freeze({ ...profile, digest: sha256(bytes), inferenceAddress: parseAddress(profile.inference) });
}

function requireDistinct(key: string, entries: readonly { readonly name: string }[]): void {
  const names = entries.map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw new KitError("CONFIG_SCHEMA", { expected: `${key}: each name once`, actual: `${twice} twice` });
}
