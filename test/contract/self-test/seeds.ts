import { statementRoles } from "@secai/verify/policy-file";
import { type Mutation, mutationsOf } from "../release/mutations.ts";
import { contentMutations } from "../release/mutations-contents.ts";
import { trustMutations } from "../release/mutations-trust.ts";
import { strictPolicy } from "./policies.ts";
import { type Case, input, RELEASE_ARGS } from "./scene.ts";

// The mutations that the verifier's own tests play against its functions, asked as people ask: by the command.

/** A policy that no file can say: more anchors needed than there are. */
const UNSAYABLE = "threshold";

export const seeds = (names: readonly string[]): readonly Case[] =>
  [...mutationsOf(names), ...contentMutations, ...trustMutations]
    .filter(({ policy }) => !(UNSAYABLE in (policy ?? {})))
    .map(asked);

function asked({ name, fails, code, policy, trust, apply }: Mutation): Case {
  const { atMs, designations, ...rules } = policy ?? {};
  const hasRules = Object.keys(rules).length > 0;
  const replaced = RELEASE_ARGS.map((arg) => {
    if (arg === "@/inputs/release.pub" && trust === "stranger") return "@/inputs/stranger.pub";
    if (arg === "dev" && designations !== undefined) return designations[0] ?? arg;
    return arg === "{at}" && atMs !== undefined ? new Date(atMs).toISOString() : arg;
  });
  return {
    name,
    fails,
    ...(code !== undefined && { code }),
    args: hasRules ? [...replaced, "--policy", "@/inputs/policy.json"] : replaced,
    apply: async (scene) => {
      if (hasRules)
        input(scene, "policy.json", { ...strictPolicy(scene), requiredTests: [], requiredStatements: statementRoles, ...rules });
      await apply(scene);
    },
  };
}
