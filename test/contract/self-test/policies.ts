import { sha256 } from "@secai/formats/digest";
import type { PolicyFile } from "@secai/verify/policy-file";
import { type Case, input, RELEASE_ARGS, type SelfTestScene } from "./scene.ts";

// A genuine release that is not what an organisation wrote down that it wants, and policies that no reader takes.

/** What an organisation could want of the fixture release. */
export const strictPolicy = ({ key }: SelfTestScene): PolicyFile => ({
  schema: 1,
  name: "ours",
  builders: ["urn:secai-os:builder:local:v1"],
  designations: ["dev"],
  anchors: { fingerprints: [key.fingerprint], threshold: 1 },
  signatures: "any",
  requiredStatements: ["provenance", "measurements", "baseline"],
  requiredTests: [{ suite: "acceptance" }],
  freshness: { expiry: "enforce" },
});

export const policyArgs: readonly string[] = ["release", "@/release", "--at", "{at}", "--policy", "@/inputs/policy.json"];
const policyCase = (
  name: string,
  fails: readonly string[],
  change: (policy: PolicyFile, scene: SelfTestScene) => unknown,
  exit: Exclude<Case["exit"], undefined> = 1,
): Case => ({
  name: `policy: ${name}`,
  fails,
  exit,
  args: policyArgs,
  apply: (scene) => input(scene, "policy.json", change(strictPolicy(scene), scene)),
});

const wanted: readonly Case[] = [
  policyCase("another recipe", ["provenance.source"], (policy) => ({ ...policy, sources: { recipe: "silverblue-42" } })),
  policyCase("a commit that was not built", ["provenance.source"], (policy) => ({
    ...policy,
    sources: { commits: ["a".repeat(40)] },
  })),
  policyCase("another repository", ["provenance.source"], (policy) => ({
    ...policy,
    sources: { repository: "https://example.org/other" },
  })),
  policyCase("a workflow", ["provenance.workflow"], (policy) => ({ ...policy, workflow: "release.yml" })),
  policyCase("another builder", ["provenance.builder"], (policy) => ({
    ...policy,
    builders: ["urn:secai-os:builder:dagger:v1"],
  })),
  policyCase("another designation", ["release.designation"], (policy) => ({ ...policy, designations: ["stable"] })),
  policyCase("a suite that was not run", ["tests.required:endurance"], (policy) => ({
    ...policy,
    requiredTests: [{ suite: "endurance" }],
  })),
  policyCase("real hardware under the tests", ["tests.required:acceptance"], (policy) => ({
    ...policy,
    requiredTests: [{ suite: "acceptance", accelerators: ["kvm"] }],
  })),
  policyCase("another root key", ["keys.release"], (policy) => ({
    ...policy,
    anchors: { fingerprints: [sha256("x")], threshold: 1 },
  })),
];

const refused: readonly Case[] = [
  ...(
    [
      ["with an unknown member", { insecure: true }],
      ["of schema 2", { schema: 2 }],
      ["without builders", { builders: [] }],
      ["without designations", { designations: [] }],
      ["with a designation that there is not", { designations: ["any"] }],
      ["that asks for no signature", { signatures: "none" }],
      ["with a threshold of none", { anchors: { fingerprints: [sha256("x")], threshold: 0 } }],
      ["with more signers than anchors", { anchors: { fingerprints: [sha256("x")], threshold: 2 } }],
      ["with an anchor twice", { anchors: { fingerprints: [sha256("x"), sha256("x")], threshold: 1 } }],
      ["with a statement twice", { requiredStatements: ["baseline", "baseline"] }],
    ] as const
  ).map(([name, change]) =>
    policyCase(`a policy ${name}`, ["error:POLICY_MALFORMED"], (policy) => ({ ...policy, ...change }), 2),
  ),
  policyCase("a policy that is none", ["error:POLICY_MALFORMED"], () => "trust everybody", 2),
];

const met: readonly Case[] = [
  policyCase("everything that it asks for", [], (policy) => policy, 0),
  policyCase(
    "its tests under emulation",
    [],
    (policy) => ({ ...policy, requiredTests: [{ suite: "acceptance", accelerators: ["tcg", "kvm"] }] }),
    0,
  ),
  policyCase("its recipe", [], (policy) => ({ ...policy, sources: { recipe: "debian-13" } }), 0),
  policyCase(
    "one of several anchors",
    [],
    (policy, { key }) => ({ ...policy, anchors: { fingerprints: [key.fingerprint, sha256("x")], threshold: 1 } }),
    0,
  ),
  {
    ...policyCase("with an option in its place", [], (policy) => ({ ...policy, designations: ["stable"] }), 0),
    args: [...policyArgs, "--designation", "dev"],
  },
  {
    ...policyCase(
      "and trust by the command line",
      [],
      (policy) => ({ ...policy, anchors: { fingerprints: [], threshold: 1 } }),
      0,
    ),
    args: [...RELEASE_ARGS, "--policy", "@/inputs/policy.json"],
  },
];

export const policyCases: readonly Case[] = [...wanted, ...refused, ...met];
