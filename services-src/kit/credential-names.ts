import { type Reporter, reporters } from "./api/incidents.ts";

/** Scope of the incident recorder's credential for one reporter. */
export const reporterScope = <R extends Reporter>(reporter: R): `reporter.${R}` => `reporter.${reporter}`;

/** A service's bearer tokens: file below the credential directory, by scope. Each lets its holder do one thing. */
export const tokens = {
  "policy-engine": { token: "policy-engine.token" },
  "runtime-attestor": { attest: "runtime-attestor.token" },
  "integrity-monitor": { monitor: "integrity-monitor.token", rebaseline: "integrity-rebaseline.token" },
  "incident-recorder": {
    read: "incident-read.token",
    operator: "incident-operator.token",
    "recovery-admin": "incident-recovery-admin.token",
    forensic: "incident-forensic.token",
    ...(Object.fromEntries(
      (Object.keys(reporters) as Reporter[]).map((name) => [reporterScope(name), `incident-reporter-${name}.token`]),
    ) as { readonly [R in Reporter as `reporter.${R}`]: `incident-reporter-${R}.token` }),
  },
  "gpu-integrity-watch": { watch: "gpu-integrity-watch.token", "attest-state": "gpu-attest-state.token" },
} as const satisfies Readonly<Record<string, Readonly<Record<string, string>>>>;

/** What the recorder shows to the services that contain. */
export const containmentTokens = {
  agent: "agent-containment.token",
  airlock: "airlock-containment.token",
  registry: "registry-containment.token",
} as const;

/** Keys of audit chains, one a service that keeps a chain of its own. */
export const auditKeys = [
  "policy-engine-audit-hmac.key",
  "runtime-attestor-audit-hmac.key",
  "integrity-monitor-audit-hmac.key",
  "incident-recorder-audit-hmac.key",
  "gpu-integrity-watch-audit-hmac.key",
  "vault-relock-audit-hmac.key",
] as const;

/** Seeds of Ed25519 keys; beside each lies its public half, NAME.pub for NAME.key. */
export const signingKeys = [
  "runtime-attestor-signing.key",
  "incident-recorder-signing.key",
  "integrity-monitor-signing.key",
  "gpu-integrity-watch-signing.key",
] as const;

/** The public half of a signing key. */
export const publicName = (signingKey: (typeof signingKeys)[number]): string => signingKey.replace(/\.key$/, ".pub");

/** Every secret that secure-ai-credentials.service makes. */
export const credentialNames: readonly string[] = [
  ...Object.values(tokens).flatMap((files) => Object.values<string>(files)),
  ...Object.values(containmentTokens),
  ...auditKeys,
  ...signingKeys,
];
