import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { isMachineRoot } from "./engine/user-namespace.ts";
import { PreflightError } from "./preflight-errors.ts";
import { runTool, type ToolResult } from "./run-tool.ts";

interface Need {
  /** Of Debian and Ubuntu. */
  readonly package: string;
  /** Programs looked for in PATH, or absolute files; all of them are needed. */
  readonly files: readonly string[];
  /** Only an ordinary user needs it. */
  readonly unprivileged?: true;
}

/** Everything that this project may need of a host, besides Node and npm. The rest comes from locked tool roots. */
const needs = {
  mmdebstrap: { package: "mmdebstrap", files: ["mmdebstrap"] },
  bwrap: { package: "bubblewrap", files: ["bwrap"] },
  gpgv: { package: "gpgv", files: ["gpgv"] },
  "apt-get": { package: "apt", files: ["apt-get", "/usr/lib/apt/apt-helper"] },
  "debian-archive-keyring": { package: "debian-archive-keyring", files: ["/usr/share/keyrings/debian-archive-keyring.gpg"] },
  openssl: { package: "openssl", files: ["openssl"] },
  /** Maps the user ids that a tree of files needs. */
  uidmap: { package: "uidmap", files: ["newuidmap", "newgidmap"], unprivileged: true },
  // For tests only. Throwaway archives with throwaway keys.
  gpg: { package: "gnupg", files: ["gpg", "gpg-agent"] },
  // Also as root: an ordinary user's build is tried by one.
  newuidmap: { package: "uidmap", files: ["newuidmap", "newgidmap"] },
  "dpkg-deb": { package: "dpkg", files: ["dpkg-deb"] },
} as const satisfies Readonly<Record<string, Need>>;

export type HostNeed = keyof typeof needs;

/** This machine, as far as preflight looks at it; tests put another in its place. */
export interface PreflightHost {
  readonly path: string;
  readonly root: boolean;
  run(command: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<ToolResult>;
  exists(path: string): boolean;
}

export interface PreflightOptions {
  /** Told in one line when packages are installed. */
  readonly notice?: (line: string) => void;
  readonly host?: PreflightHost;
}

/** Where a bare root shell and cron look, besides PATH. */
const systemFolders = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];

const thisHost: PreflightHost = {
  path: process.env.PATH ?? "",
  root: isMachineRoot(),
  run: runTool,
  exists(path) {
    try {
      accessSync(path, constants.R_OK);
      return true;
    } catch {
      return false;
    }
  },
};

function isThere(file: string, { path, exists }: PreflightHost): boolean {
  if (file.startsWith("/")) return exists(file);
  return [...path.split(delimiter), ...systemFolders].some((folder) => folder !== "" && exists(join(folder, file)));
}

/** Packages of Debian that are missing, in the order of `wanted`. */
function missingPackages(wanted: readonly HostNeed[], host: PreflightHost): readonly string[] {
  const missing = wanted.filter((name) => {
    const need: Need = needs[name];
    return !(host.root && need.unprivileged === true) && !need.files.every((file) => isThere(file, host));
  });
  return [...new Set(missing.map((name) => needs[name].package))];
}

async function install(packages: readonly string[], host: PreflightHost): Promise<string | undefined> {
  const env = { DEBIAN_FRONTEND: "noninteractive" };
  // A fresh system knows of no package before its first update; another apt that is at work is waited for.
  const wait = ["-o", "DPkg::Lock::Timeout=120", "-qq"];
  for (const args of [
    [...wait, "update"],
    [...wait, "-y", "--no-install-recommends", "install", ...packages],
  ]) {
    const { status, stderr } = await host.run("apt-get", args, env);
    if (status !== 0) return stderr.trim().split("\n").slice(-3).join("; ");
  }
  return undefined;
}

/**
 * Makes sure that the host has what is needed: looks (a few ms), installs as root on Debian and Ubuntu, and otherwise says what to run.
 * @throws PreflightError PREFLIGHT_MISSING, PREFLIGHT_INSTALL_FAILED
 */
export async function preflight(wanted: readonly HostNeed[], { notice, host = thisHost }: PreflightOptions = {}): Promise<void> {
  const packages = missingPackages(wanted, host);
  if (packages.length === 0) return;
  const expected = `${packages.join(", ")} on this machine`;
  const hasApt = isThere("apt-get", host);
  const command = `apt-get update && apt-get install --no-install-recommends ${packages.join(" ")}`;
  const fix = hasApt
    ? `Run: sudo sh -c '${command}'`
    : `Install what Debian calls ${packages.join(", ")} with this system's package manager.`;
  if (!hasApt || !host.root) throw new PreflightError("PREFLIGHT_MISSING", { expected, actual: "not installed", fix });
  notice?.(`installing ${packages.join(", ")} with apt-get`);
  const failure = await install(packages, host);
  const still = missingPackages(wanted, host);
  if (failure === undefined && still.length === 0) return;
  throw new PreflightError("PREFLIGHT_INSTALL_FAILED", { expected, actual: failure ?? `${still.join(", ")} still missing`, fix });
}
