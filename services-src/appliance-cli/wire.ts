import { shape } from "@secai/kit/schema";
import { type Static, type TObject, Type } from "@sinclair/typebox";

// What the command reads of answers whose full shapes belong to the services; further members are theirs.
const some = { additionalProperties: true } as const;
const Text = Type.String({ maxLength: 8192 });
const Count = Type.Number({ minimum: 0 });
const loose = <T extends TObject>(name: string, type: T) => shape(name, type);

/** Somebody still has to do something about an incident in one of these. */
export const unresolvedStates: readonly string[] = ["open", "contained", "containment_failed"];

export const health = loose("liveness", Type.Object({ status: Text }, some));

export const recorderHealth = loose(
  "recorder's liveness",
  Type.Object({ status: Text, containment_failed: Count, latched: Count, writable: Type.Boolean() }, some),
);

export const securityStatus = loose(
  "security status",
  Type.Object(
    {
      attestation_state: Text,
      assurance_mode: Text,
      evidence_verified: Type.Boolean(),
      tpm_available: Type.Boolean(),
      tpm_quote_verified: Type.Boolean(),
      secure_boot: Type.Boolean(),
      deployment_verified: Type.Boolean(),
      release_baseline_verified: Type.Boolean(),
      release_version: Text,
      failures: Type.Array(Type.Object({ check: Text, code: Text, expected: Text, actual: Text }, some), { maxItems: 256 }),
      last_attested: Type.Union([Type.Null(), Text]),
    },
    some,
  ),
);

const Violation = Type.Object({ category: Text, path: Text, kind: Text, expected: Text, actual: Text }, some);
export type Violation = Static<typeof Violation>;
const Violations = Type.Array(Violation, { maxItems: 256 });
const BaselineSummary = Type.Object({ created_at: Text, sha256: Text, entries: Count, generation: Count }, some);

const IntegrityStatus = Type.Object(
  {
    state: Text,
    /** False until a full look has ended; what is said before is what the latch remembers. */
    scanned: Type.Boolean(),
    latched_since: Type.Union([Type.Null(), Text]),
    violation_count: Count,
    /** At most 50, like the next. */
    active_violations: Violations,
    latch_reasons: Violations,
    last_scan_at: Type.Union([Type.Null(), Text]),
    baseline: Type.Union([Type.Null(), BaselineSummary]),
  },
  some,
);
export type IntegrityStatus = Static<typeof IntegrityStatus>;
export const integrityStatus = loose("integrity status", IntegrityStatus);

export const integrityScan = loose(
  "integrity scan",
  Type.Object({ state: Text, violation_count: Count, violations_sha256: Text, violations: Violations }, some),
);

export const integrityRebaseline = loose(
  "rebaseline",
  Type.Object({ status: Text, state: Text, baseline: BaselineSummary }, some),
);

export const gpuStatus = loose(
  "GPU watch status",
  Type.Object(
    {
      latest: Type.Union([Type.Null(), Type.Object({ timestamp: Text, verdict: Text, composite_score: Type.Number() }, some)]),
      baseline: Type.Object(
        { state: Text, code: Type.Optional(Text), digest: Type.Optional(Text), captured_at: Type.Optional(Text) },
        some,
      ),
    },
    some,
  ),
);

export const gpuCheck = loose(
  "GPU check",
  Type.Object(
    {
      verdict: Text,
      probes: Type.Array(
        Type.Object(
          { name: Text, status: Text, findings: Type.Array(Type.Object({ description: Text, item: Type.Optional(Text) }, some)) },
          some,
        ),
      ),
    },
    some,
  ),
);

export const gpuCapture = loose(
  "GPU baseline answer",
  Type.Object(
    {
      status: Text,
      content_digest: Text,
      files: Count,
      sentinels: Type.Union([Type.Null(), Count]),
      drivers: Count,
      devices: Count,
      baseline_digest: Type.Optional(Text),
    },
    some,
  ),
);
