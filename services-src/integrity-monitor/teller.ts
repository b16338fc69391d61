import { type ChildProcess, spawn } from "node:child_process";
import { COMMAND_ENVIRONMENT } from "./command.ts";

const RESTART_MS = [1_000, 5_000, 30_000] as const;

export interface Teller {
  close(): void;
}

export interface TellerParts {
  /** What it is called in the log. */
  readonly name: string;
  /** A program of the sealed root that runs on, and writes something whenever there is news. */
  readonly argv: readonly [string, ...string[]];
  onEvent(): void;
  /** The program ended; what happened until it runs again is not known. */
  onLoss(reason: string): void;
}

/** Changes of the firewall's ruleset (nft(8)). */
export const rulesetTeller = (prefix: string): Pick<TellerParts, "name" | "argv"> => ({
  name: "nft monitor",
  argv: [`${prefix}/usr/sbin/nft`, "monitor"],
});

/** What is mounted and unmounted in the system's view, which the kernel passes on to ours (findmnt(8), mount_namespaces(7)). */
export const mountTeller = (prefix: string): Pick<TellerParts, "name" | "argv"> => ({
  name: "findmnt --poll",
  argv: [`${prefix}/usr/bin/findmnt`, "--poll", "--noheadings", "--output", "ACTION"],
});

/** What a program tells by writing a line. It is started again when it ends; the sweep looks meanwhile. */
export function startTeller({ name, argv: [program, ...args], onEvent, onLoss }: TellerParts): Teller {
  let child: ChildProcess | undefined;
  let timer: NodeJS.Timeout | undefined;
  let [closed, ends] = [false, 0];

  function start(): void {
    const started = spawn(program, args, { env: COMMAND_ENVIRONMENT, stdio: ["ignore", "pipe", "ignore"] });
    child = started;
    started.stdout.on("data", () => {
      ends = 0;
      onEvent();
    });
    let over = false;
    const ended = (reason: string): void => {
      if (over || closed) return;
      over = true;
      onLoss(`${name}: ${reason}`);
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
