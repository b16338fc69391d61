import { execFile } from "node:child_process";
import type { Backend } from "@secai/formats/gpu-backends";
import { failedProbe, type Probe, parseProbe } from "@secai/formats/gpu-probe";

/** Compiling a backend's kernels for the first time takes tens of seconds on a slow machine, a hang takes for ever; in ms. */
const PROBE_LIMIT_MS = 180_000;
const MAX_OUTPUT_BYTES = 4 << 20;

/** Variables that lead the loader and the Vulkan loader; everything else of ours stays away from the drivers. */
const PASSED = ["LD_LIBRARY_PATH", "VK_DRIVER_FILES", "PATH", "TMPDIR"] as const;

export interface ProbeProgram {
  /** Node's own flags and the program. */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** A probe in a process of its own: whatever a driver does to that process, this one gets an answer. */
export function probeApart(program: ProbeProgram, backend: Backend, args: readonly string[]): Promise<Probe> {
  const env = Object.fromEntries(PASSED.flatMap((name) => (program.env[name] === undefined ? [] : [[name, program.env[name]]])));
  const options = {
    env: { ...env, MESA_SHADER_CACHE_DISABLE: "true", UV_USE_IO_URING: "0" },
    timeout: PROBE_LIMIT_MS,
    killSignal: "SIGKILL" as const,
    maxBuffer: MAX_OUTPUT_BYTES,
  };
  return new Promise((resolve) => {
    execFile(process.execPath, [...program.argv, "--backend", backend, ...args], options, (error, stdout, stderr) => {
      resolve(error === null ? answerOf(backend, stdout) : failedProbe(backend, endOf(error, stderr)));
    });
  });
}

/** The last line: drivers, too, may print. */
function answerOf(backend: Backend, stdout: string): Probe {
  const line = stdout.trimEnd().split("\n").at(-1) ?? "";
  try {
    const answer = parseProbe(Buffer.from(`${line}\n`));
    return answer.backend === backend ? answer : failedProbe(backend, "the probe answered about another backend");
  } catch (error) {
    return failedProbe(backend, `the probe gave no answer: ${(error as Error).message}`);
  }
}

function endOf(
  { signal, killed, code }: Error & { signal?: string | null; killed?: boolean; code?: unknown },
  stderr: string,
): string {
  if (killed === true) return `the probe was stopped after ${PROBE_LIMIT_MS / 1000} s`;
  if (typeof signal === "string") return `the probe's process was ended by ${signal}`;
  const said = stderr.trimEnd().split("\n").at(-1);
  return `the probe ended with status ${String(code)}: ${said === undefined || said === "" ? "it said nothing" : said}`;
}
