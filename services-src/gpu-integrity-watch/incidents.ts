import { basename, isAbsolute, join, normalize } from "node:path";
import type { GpuVerdict } from "@secai/kit/api/gpu-integrity";
import type { Evidence, IncidentClass, Severity } from "@secai/kit/api/incidents";
import { canonicalJson, sha256 } from "@secai/kit/digest";
import type { Report } from "@secai/kit/reporting";
import { type ProbeResult, printable } from "./outcome.ts";

interface Kind {
  readonly class: IncidentClass;
  readonly fail: Severity;
  readonly drift: Severity;
  /** Whether somebody may want to put a model away for it. */
  readonly aboutModel: boolean;
  readonly description: string;
}

/** What each probe's findings are called. A class's own severity is the least that an incident has. */
const KINDS: Readonly<Record<string, Kind>> = {
  tensor_hash: {
    class: "manifest_mismatch",
    fail: "critical",
    drift: "high",
    aboutModel: true,
    description: "models on the disk are not those of the baseline",
  },
  sentinel_inference: {
    class: "model_behavior_anomaly",
    fail: "high",
    drift: "high",
    aboutModel: true,
    description: "the model answers known questions otherwise than before",
  },
  reference_drift: {
    class: "model_behavior_anomaly",
    fail: "high",
    drift: "high",
    aboutModel: true,
    description: "the model's answers drift",
  },
  ecc_status: {
    class: "integrity_violation",
    fail: "critical",
    drift: "high",
    aboutModel: false,
    description: "the GPU's memory has errors",
  },
  driver_fingerprint: {
    class: "integrity_violation",
    fail: "high",
    drift: "high",
    aboutModel: false,
    description: "the GPU's driver is not that of the baseline",
  },
  device_allowlist: {
    class: "integrity_violation",
    fail: "high",
    drift: "high",
    aboutModel: false,
    description: "there are other GPU device nodes than in the baseline",
  },
  baseline: {
    class: "integrity_violation",
    fail: "critical",
    drift: "critical",
    aboutModel: false,
    description: "the GPU baseline was removed or tampered with",
  },
};
/** Heat, retired memory and probes that cannot look are faults of the machine: they are told, and close nothing by themselves. */
const OTHER: Kind = {
  class: "model_behavior_anomaly",
  fail: "high",
  drift: "high",
  aboutModel: false,
  description: "the GPU shows signs of a fault",
};

export interface Model {
  readonly path: string;
  readonly name: string;
}

export interface Seen {
  readonly verdict: GpuVerdict;
  readonly score: number;
  readonly results: readonly ProbeResult[];
  readonly modelDir: string;
  /** The model that the inference runtime says it uses. */
  readonly activeModel: string | undefined;
}

/**
 * One report a probe that found something, with the model's path and name where it is about one. The fingerprint names what was found, so a
 * fault that stands is one incident however often it is seen.
 */
export function incidentReports(seen: Seen): readonly Report[] {
  return seen.results
    .filter(({ status }) => status === "fail" || status === "drift" || status === "error")
    .map((result) => {
      const kind = KINDS[result.type] ?? OTHER;
      const model = kind.aboutModel ? modelOf(seen, result) : undefined;
      return {
        class: kind.class,
        severity: result.status === "fail" ? kind.fail : kind.drift,
        description: `${kind.description} (probe ${result.name}: ${result.status})`,
        evidence: evidenceOf(seen, result, model),
        fingerprint: sha256(
          canonicalJson({ class: kind.class, probe: result.name, status: result.status, items: itemsOf(result) }),
        ),
      };
    });
}

const itemsOf = ({ findings }: ProbeResult): readonly string[] =>
  findings.map(({ item, description }) => item ?? description).sort();

function evidenceOf({ verdict, score, results }: Seen, result: ProbeResult, model: Model | undefined): Evidence {
  return {
    verdict,
    composite_score: score,
    probe: result.name,
    probe_type: result.type,
    probe_score: result.score,
    probe_statuses: Object.fromEntries(results.map(({ name, status }) => [name, status])),
    failed_probes: results.filter(({ status }) => status === "fail").map(({ name }) => name),
    findings: result.findings.map(({ description, severity, item }) => ({ description, severity, item: item ?? null })),
    ...(model === undefined ? {} : { model_path: model.path, model_name: model.name }),
  };
}

/** The worst model of the probe's own findings, otherwise the one in use if it lies in the folder of models. */
function modelOf({ modelDir, activeModel }: Seen, { models }: ProbeResult): Model | undefined {
  const relative = models?.[0];
  if (relative !== undefined) return { path: join(modelDir, relative), name: basename(relative) };
  if (activeModel === undefined || activeModel === "" || printable(activeModel) !== activeModel) return undefined;
  const path = isAbsolute(activeModel) ? normalize(activeModel) : join(modelDir, activeModel);
  return path.startsWith(`${modelDir}/`) ? { path, name: basename(path) } : undefined;
}
