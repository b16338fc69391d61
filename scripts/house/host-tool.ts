import { spawnSync } from "node:child_process";

const has = (command: string): boolean => spawnSync(command, ["--version"], { stdio: "ignore" }).error === undefined;

/** Makes sure that a program of a Debian package is there. Returns the command that would install it where we may not. */
export function missingTool(command: string, debianPackage: string): string | undefined {
  if (has(command)) return undefined;
  const install = `apt-get update && apt-get install --yes --no-install-recommends ${debianPackage}`;
  if (process.getuid?.() !== 0) return `sudo sh -c '${install}'`;
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  spawnSync("sh", ["-c", install], { stdio: ["ignore", "ignore", "inherit"], env });
  return has(command) ? undefined : install;
}
