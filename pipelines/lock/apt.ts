import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { runTool } from "../run-tool.ts";
import type { VerifiedSuite } from "./archive.ts";
import { LockError } from "./errors.ts";

/** A package that apt would install. */
export interface Chosen {
  readonly name: string;
  readonly version: string;
  readonly architecture: string;
}

/** apt as on a machine without any package, that knows nothing but the indexes it was given. */
export interface PrivateApt {
  /**
   * What `packages` need, themselves included, without recommendations.
   * @throws LockError LOCK_UNRESOLVABLE
   */
  resolve(packages: readonly string[]): Promise<readonly Chosen[]>;
}

function configuration(directory: string, architecture: string): string {
  // Dir::Etc and Dir::State move everything that apt would read of the host's; the list of architectures keeps it from asking dpkg.
  return `Dir "${directory}/";
Dir::Etc "${directory}/etc";
Dir::State "${directory}/state";
Dir::State::status "${directory}/status";
Dir::Cache "${directory}/cache";
Dir::Log "${directory}/log";
APT::Architecture "${architecture}";
APT::Architectures { "${architecture}"; };
APT::Install-Recommends "false";
APT::Install-Suggests "false";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::By-Hash "no";
Acquire::Check-Valid-Until "false";
`;
}

async function writeMirror(directory: string, suites: readonly VerifiedSuite[]): Promise<void> {
  const files = suites.flatMap(({ archive, inRelease, indexes }) => [
    { path: join(archive, inRelease.path), bytes: inRelease.bytes },
    ...indexes.map(({ path, suffix, stored }) => ({ path: join(archive, path + suffix), bytes: stored })),
  ]);
  for (const { path, bytes } of files) {
    const target = join(directory, "mirror", path);
    await mkdir(dirname(target), { recursive: true });
    await writeFile(target, bytes);
  }
}

function sources(directory: string, suites: readonly VerifiedSuite[], architecture: string, keyring: string): string {
  return suites
    .map(({ archive, suite, indexes }) => {
      const components = indexes.map(({ component }) => component).join(" ");
      return `deb [arch=${architecture} signed-by=${keyring}] file:${directory}/mirror/${archive} ${suite} ${components}\n`;
    })
    .join("");
}

/** "Inst libc6 (2.41-12 Debian:13.7/stable [amd64]) []" */
function parseSimulation(stdout: string): Chosen[] {
  return stdout.split("\n").flatMap((line) => {
    const [, name, version, architecture] = /^Inst (\S+) (?:\[[^\]]*\] )?\((\S+) .*\[([a-z0-9-]+)\]\)/.exec(line) ?? [];
    return name === undefined || version === undefined || architecture === undefined ? [] : [{ name, version, architecture }];
  });
}

function failure(stderr: string, stdout: string): string {
  const reasons = `${stdout}\n${stderr}`
    .split("\n")
    .filter((line) => /^E: |^ [^ ].*:.*(Depends|Conflicts|Breaks)|^ +(Depends|Conflicts|Breaks)/.test(line));
  return reasons.slice(0, 10).join("; ") || stderr.trim().slice(-300);
}

/**
 * Prepares apt in `directory` (a private, absolute one). apt checks the signatures once more by itself and opens no connection.
 * @throws LockError LOCK_ARCHIVE_MALFORMED when apt does not accept what we did
 */
export async function createPrivateApt(
  directory: string,
  suites: readonly VerifiedSuite[],
  architecture: string,
  keyring: string,
): Promise<PrivateApt> {
  for (const folder of [
    "etc/apt.conf.d",
    "etc/preferences.d",
    "etc/sources.list.d",
    "etc/trusted.gpg.d",
    "state/lists/partial",
    "cache/archives/partial",
    "log",
  ]) {
    await mkdir(join(directory, folder), { recursive: true });
  }
  await writeFile(join(directory, "status"), "");
  await writeFile(join(directory, "apt.conf"), configuration(directory, architecture));
  await writeFile(join(directory, "etc/sources.list"), sources(directory, suites, architecture, keyring));
  await writeMirror(directory, suites);
  const env = { APT_CONFIG: join(directory, "apt.conf"), HOME: directory, TMPDIR: directory };
  const update = await runTool("apt-get", ["update", "--error-on=any"], env);
  if (update.status !== 0) {
    throw new LockError("LOCK_ARCHIVE_MALFORMED", { expected: "indexes that apt accepts", actual: failure(update.stderr, "") });
  }
  return {
    async resolve(packages) {
      const { status, stdout, stderr } = await runTool("apt-get", ["--simulate", "--yes", "install", ...packages], env);
      if (status !== 0) throw new LockError("LOCK_UNRESOLVABLE", { expected: "a solution", actual: failure(stderr, stdout) });
      return parseSimulation(stdout);
    },
  };
}
