// The command `secai` on the appliance.
import { setTimeout as sleep } from "node:timers/promises";
import { secai } from "../cli.ts";
import { openMachine } from "../machine.ts";

process.exitCode = await secai(process.argv.slice(2), {
  openMachine: () => openMachine(process.env),
  // https://no-color.org: set and not empty.
  colour: process.stdout.isTTY === true && (process.env.NO_COLOR ?? "") === "" && process.env.TERM !== "dumb",
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
  sleep: (ms) => sleep(ms),
});
