import type { EngineEvent } from "../engine/engine.ts";
import type { CommandIo } from "../io.ts";
import { chooseReporter, createReporter } from "./reporter.ts";

/** What a run of the engine takes of the command that asks for it. */
export interface Reported {
  readonly report: (event: EngineEvent) => void;
  /** A remark between the steps. */
  readonly notice: (message: string) => void;
  readonly signal?: AbortSignal;
}

/**
 * Work whose steps are shown on standard error, or with `json` as events on standard output. An interrupt of the command stops it; the live
 * part of the picture is gone when it ends, however it ends.
 */
export async function reported<T>(
  { env, signal }: Pick<CommandIo, "env" | "signal">,
  work: (run: Reported) => Promise<T>,
  json = false,
): Promise<T> {
  const { report, close } = createReporter(chooseReporter(json ? process.stdout : process.stderr, env, json));
  const notice = (message: string) => report({ type: "notice", level: "info", message, time: new Date().toISOString() });
  try {
    return await work({ report, notice, ...(signal === undefined ? {} : { signal }) });
  } finally {
    close();
  }
}
