import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { toolRoot } from "./runtime.ts";
import { unitFolder } from "./unit.ts";

/** Highest `systemd-analyze security` figure that a unit of ours may have (0 is best, 10 is no protection at all). */
export const MAX_EXPOSURE = 2.0;

/** The appliance's units that run a program of ours as a service that listens or keeps secrets. */
export function serviceUnits(): readonly string[] {
  return readdirSync(unitFolder).filter((name) => {
    return (
      name.endsWith(".service") && readFileSync(join(unitFolder, name), "utf8").includes("/usr/libexec/secure-ai/secai-run.mjs")
    );
  });
}

/** The figure that the image's own systemd gives a unit file, without starting it. */
export function exposureOf(unit: string): number {
  const root = ["--ro-bind", toolRoot(), "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/run", "--tmpfs", "/tmp"];
  const units = ["--ro-bind", unitFolder, "/tmp/units"];
  const analyze = ["systemd-analyze", "security", "--offline=true", "--no-pager", `/tmp/units/${unit}`];
  const report = execFileSync("bwrap", [...root, ...units, "--", ...analyze], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
  });
  const figure = /Overall exposure level for \S+: ([0-9.]+)/.exec(report)?.[1];
  if (figure === undefined) throw new Error(`systemd-analyze gave no figure for ${unit}`);
  return Number(figure);
}
