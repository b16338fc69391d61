import { type ChildProcess, spawn } from "node:child_process";
import { COMMAND_ENVIRONMENT } from "./command.ts";

const RESTART_MS = [1_000, 5_000, 30_000] as const;

export interface NftMonitor {
  close(): void;
}

export interface NftMonitorParts {
  readonly prefix: string;
  /** The ruleset changed. */
  onEvent(): void;
  /** The monitor ended; what changed until it runs again is not known. */
  onLoss(reason: string): void;
}

/** `nft monitor`: one line for each change of the ruleset. It is started again when it ends; the sweep looks meanwhile. */
export function startNftMonitor({ prefix, onEvent, onLoss }: NftMonitorParts): NftMonitor {
  let child: ChildProcess | undefined;
  let timer: NodeJS.Timeout | undefined;
  let [closed, ends] = [false, 0];

  function start(): void {
    const started = spawn(`${prefix}/usr/sbin/nft`, ["monitor"], {
      env: COMMAND_ENVIRONMENT,
      stdio: ["ignore", "pipe", "ignore"],
    });
    child = started;
    started.stdout.on("data", () => {
      ends = 0;
      onEvent();
    });
    let over = false;
    const ended = (reason: string): void => {
      if (over || closed) return;
      over = true;
      onLoss(`nft monitor: ${reason}`);
      timer = setTimeout(start, RESTART_MS[Math.min(ends, RESTART_MS.length - 1)]);
      ends += 1;
    };
    started.once("error", (error) => ended(error.message));
    started.once("exit", (status, signal) => ended(`ended with ${status ?? signal}`));
  }

  start();
  return {
    close() {
      closed = true;
      clearTimeout(timer);
      child?.kill("SIGKILL");
    },
  };
}
