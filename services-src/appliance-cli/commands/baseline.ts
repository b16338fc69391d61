import { ask } from "@secai/kit/client";
import { CodedError } from "@secai/kit/errors";
import { type Command, type Exit, type Invocation, worst } from "../command.ts";
import { CliError } from "../errors.ts";
import { cell } from "../output.ts";
import { sentence } from "../violations.ts";
import { gpuCapture, gpuCheck, gpuStatus, type IntegrityStatus, integrityScan, integrityStatus } from "../wire.ts";
import { accept } from "./accept.ts";

const SCAN_LIMIT_MS = 30_000;
const MAX_ANSWER_BYTES = 8 << 20;

async function run(invocation: Invocation): Promise<Exit> {
  const [verb = "show", ...rest] = invocation.words;
  if (rest.length > 0) throw new CliError("CLI_USAGE", { expected: "no further words", actual: rest.join(" ") });
  if (verb === "show") return show(invocation);
  if (verb === "verify") return verify(invocation);
  if (verb === "accept") return accept(invocation);
  if (verb === "capture-gpu") return capture(invocation);
  throw new CliError("CLI_USAGE", { expected: "show, verify, accept or capture-gpu", actual: verb });
}

/** The rest is told although one of the services is down. */
async function told<T>(out: Invocation["out"], what: string, find: () => Promise<T>): Promise<T | undefined> {
  try {
    return await find();
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    out.line(`${what}: ${error.message}`);
    out.line(`  next: ${error.fix}`);
    return undefined;
  }
}

async function show({ machine, out }: Invocation): Promise<Exit> {
  const integrity = await told(out, "integrity-monitor", async () => {
    const peer = await machine.peer("integrity-monitor", "monitor");
    return ask(peer, { method: "GET", path: "/api/v1/status", response: integrityStatus });
  });
  const gpu = await told(out, "gpu-integrity-watch", async () => {
    const peer = await machine.peer("gpu-integrity-watch", "watch");
    return ask(peer, { method: "GET", path: "/v1/status", response: gpuStatus });
  });
  const held = integrity?.baseline ?? undefined;
  out.table(
    ["BASELINE", "STATE", "TAKEN", "DIGEST"],
    [
      [
        "integrity",
        held === undefined ? cell("none", "warning") : cell("held", "good"),
        held?.created_at ?? "-",
        held?.sha256 ?? "-",
      ],
      [
        "gpu",
        gpu === undefined
          ? cell("unknown", "bad")
          : cell(gpu.baseline.code ?? gpu.baseline.state, gpu.baseline.state === "held" ? "good" : "warning"),
        gpu?.baseline.captured_at ?? "-",
        gpu?.baseline.digest ?? "-",
      ],
    ],
  );
  if (integrity !== undefined) showMonitor(out, integrity);
  out.value({
    integrity: held ?? null,
    gpu: gpu?.baseline ?? null,
    monitor: integrity === undefined ? null : monitorOf(integrity),
  });
  if (gpu?.baseline.state === "refused") return 1;
  return integrity === undefined || gpu === undefined ? 3 : 0;
}

function monitorOf({ state, scanned, latched_since, violation_count, active_violations, latch_reasons }: IntegrityStatus) {
  return { state, scanned, latched_since, violation_count, active_violations, latch_reasons };
}

/** What is wrong now, and what was wrong since the latch was last released. */
function showMonitor(out: Invocation["out"], status: IntegrityStatus): void {
  const { state, scanned, latched_since, violation_count, active_violations, latch_reasons } = status;
  out.line("");
  out.line(`integrity monitor: ${state}${scanned ? "" : ", still looking for the first time"}, ${violation_count} wrong now`);
  for (const violation of active_violations) out.line(`  ${sentence(violation)}`);
  if (violation_count > active_violations.length) out.line(`  and ${violation_count - active_violations.length} more`);
  if (latched_since === null) return;
  out.line(`latched since ${latched_since}, until its recovery (secai recover), for:`);
  for (const violation of latch_reasons) out.line(`  ${sentence(violation)}`);
}

async function verify({ machine, out }: Invocation): Promise<Exit> {
  const integrity = await told(out, "integrity-monitor", async () => {
    const peer = await machine.peer("integrity-monitor", "monitor");
    const options = { response: integrityScan, timeoutMs: SCAN_LIMIT_MS, maxAnswerBytes: MAX_ANSWER_BYTES } as const;
    return ask(peer, { method: "POST", path: "/api/v1/scan", ...options });
  });
  const gpu = await told(out, "gpu-integrity-watch", async () => {
    const peer = await machine.peer("gpu-integrity-watch", "watch");
    const options = { response: gpuCheck, timeoutMs: SCAN_LIMIT_MS, maxAnswerBytes: MAX_ANSWER_BYTES } as const;
    return ask(peer, { method: "POST", path: "/v1/check", ...options });
  });
  const isTrusted = integrity?.state === "trusted";
  const isSound = gpu !== undefined && gpu.verdict !== "warning" && gpu.verdict !== "critical";
  if (integrity !== undefined) out.line(`integrity: ${integrity.state}, ${integrity.violation_count} violations`);
  for (const violation of integrity?.violations ?? []) out.line(`  ${sentence(violation)}`);
  if (gpu !== undefined) out.line(`gpu: ${gpu.verdict}`);
  for (const { name, status, findings } of gpu?.probes ?? [])
    if (status !== "pass" && status !== "skip")
      for (const { description, item } of findings) out.line(`  ${name} ${status}: ${description} ${item ?? ""}`);
  out.value({ integrity: integrity ?? null, gpu: gpu ?? null });
  return worst([integrity === undefined ? 3 : isTrusted ? 0 : 1, gpu === undefined ? 3 : isSound ? 0 : 1]);
}

/** Without --yes a dry run, whose digest is what --accept names. */
async function capture({ machine, out, flags }: Invocation): Promise<Exit> {
  const peer = await machine.peer("gpu-integrity-watch", "watch");
  if (flags.accept !== undefined && !/^[0-9a-f]{64}$/.test(flags.accept))
    throw new CliError("CLI_USAGE", { expected: "--accept DIGEST, as the dry run prints it", actual: flags.accept });
  const orders = {
    ...(flags.replace ? { replace: true } : {}),
    ...(flags.accept === undefined ? {} : { accept_digest: flags.accept }),
  };
  const body = flags.yes ? orders : { dry_run: true };
  const answer = await ask(peer, { method: "POST", path: "/v1/baseline", body, response: gpuCapture, timeoutMs: SCAN_LIMIT_MS });
  const { files, sentinels, drivers, devices, content_digest } = answer;
  out.line(`${answer.status}: ${files} models, ${sentinels ?? "no"} answers, ${drivers} drivers, ${devices} device nodes`);
  out.line(`content digest: ${content_digest}`);
  if (!flags.yes)
    out.line("nothing was captured. Repeat with --yes; --replace over another, --accept DIGEST while something is warned of.");
  out.value(answer);
  return 0;
}

export const baselineCommand: Command = {
  name: "baseline",
  summary: "what this machine is held to, and whether it is so",
  help: `secai baseline [show]                                            which baselines hold, what is wrong, what is latched
secai baseline verify                                            looks at everything now
secai baseline accept [--accept DIGEST --yes]                    takes this machine's own files as they are
secai baseline capture-gpu [--replace] [--accept DIGEST] --yes   takes the GPU, its driver and the models as they should be

Exit status of verify: 0 as it should be, 1 not, 3 a service does not answer. Without --yes accept only says what it would take, and capture-gpu what
it counts; both print the digest that --accept names, so that nothing is taken that came since. accept is for what you did yourself (an enrolment, a key): nothing of the release is ever
accepted, and the latch stays until the recovery.

  secai baseline verify
  secai baseline accept
  secai baseline capture-gpu
  secai baseline capture-gpu --replace --accept 0123… --yes
`,
  flags: ["yes", "replace", "accept"],
  run,
};
