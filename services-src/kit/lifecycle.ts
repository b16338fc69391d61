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
  /** Whether the service still does its work; asked before each ping of systemd's watchdog. Default: yes. */
  alive?(): boolean;
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
    await notify(environment, "READY=1");
    log("info", "service ready");
    const stopWatchdog = startWatchdog(environment, running, log);
    log("info", "service stopping", { signal: await stopped });
    stopWatchdog();
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
 * WATCHDOG=1 three times within WatchdogSec= of the unit (sd_watchdog_enabled(3)): sent from the event loop, so a loop that hangs stops it,
 * and only while `alive` says so. systemd then kills and restarts the service.
 */
function startWatchdog(environment: Environment, { alive }: Running, log: Log): () => void {
  const { WATCHDOG_USEC } = environment;
  if (WATCHDOG_USEC === undefined || !/^[1-9][0-9]{0,15}$/.test(WATCHDOG_USEC)) return () => {};
  const timer = setInterval(() => {
    if (alive?.() === false) return;
    // A ping that was not sent is only one that is missing: systemd counts them.
    notify(environment, "WATCHDOG=1").catch((error: unknown) => log("warning", "no watchdog ping", errorFields(error)));
  }, Number(WATCHDOG_USEC) / 3000);
  return () => clearInterval(timer);
}

/**
 * The protocol is one datagram on a Unix socket, which Node cannot send, so systemd's own program sends it (the unit needs NotifyAccess=all).
 * A process a ping: units choose a WatchdogSec= of a minute and more.
 */
async function notify({ NOTIFY_SOCKET }: Environment, message: string): Promise<void> {
  if (NOTIFY_SOCKET === undefined) return;
  await new Promise<void>((resolve, reject) => {
    execFile(NOTIFY_PROGRAM, [message], { timeout: NOTIFY_TIMEOUT_MS, env: { NOTIFY_SOCKET } }, (error) =>
      error ? reject(error) : resolve(),
    );
  });
}
