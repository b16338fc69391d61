import { execFile } from "node:child_process";
import { CodedError } from "@secai/formats/errors";
import type { Environment } from "./config.ts";
import { errorFields, type Log } from "./log.ts";

/** How long requests that were taken may still run after SIGTERM. TimeoutStopSec= of the units is longer. */
export const DRAIN_MS = 10_000;

const NOTIFY_PROGRAM = "/usr/bin/systemd-notify";
const NOTIFY_TIMEOUT_MS = 5_000;

/** A service that is up. `stop` drains, flushes and closes. */
export interface Running {
  stop(): Promise<void>;
}

/**
 * Starts a service, tells systemd, and stops it on SIGTERM or SIGINT. Ends the process: 0 after a clean stop, otherwise the exit status
 * of the error's catalogue entry, 70 for errors nobody foresaw.
 */
export async function runService(log: Log, environment: Environment, start: () => Promise<Running>): Promise<void> {
  const fail = (error: unknown): never => {
    log("error", "service failed", errorFields(error));
    process.exit(error instanceof CodedError ? error.exit : 70);
  };
  process.on("uncaughtException", fail);
  process.on("unhandledRejection", fail);
  const stopped = nextSignal();
  try {
    const running = await start();
    await notifyReady(environment);
    log("info", "service ready");
    log("info", "service stopping", { signal: await stopped });
    await running.stop();
  } catch (error) {
    fail(error);
  }
  process.exit(0);
}

function nextSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, resolve);
  });
}

/**
 * READY=1 for Type=notify. The protocol is one datagram on a Unix socket, which Node cannot send, so systemd's own program sends it (the
 * unit needs NotifyAccess=all). There are no watchdog pings for the same reason: a process every few seconds costs more than the health
 * check, which asks /ready from outside and so notices a hung event loop as well.
 */
async function notifyReady({ NOTIFY_SOCKET }: Environment): Promise<void> {
  if (NOTIFY_SOCKET === undefined) return;
  await new Promise<void>((resolve, reject) => {
    execFile(NOTIFY_PROGRAM, ["--ready"], { timeout: NOTIFY_TIMEOUT_MS, env: { NOTIFY_SOCKET } }, (error) =>
      error ? reject(error) : resolve(),
    );
  });
}
