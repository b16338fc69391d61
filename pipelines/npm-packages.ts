import { readFileSync } from "node:fs";
import { join } from "node:path";

/** Package URLs of installed npm packages, by their path in the repository (purl specification, type npm). From the lockfile alone. */
export function npmPackages(top: string): ReadonlyMap<string, string> {
  const lock = JSON.parse(readFileSync(join(top, "package-lock.json"), "utf8")) as {
    packages: Record<string, { version?: string; link?: boolean }>;
  };
  const entries = Object.entries(lock.packages).flatMap(([path, { version, link }]): [string, string][] => {
    if (version === undefined || link === true || !path.startsWith("node_modules/")) return [];
    const name = path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length);
    return [[path, `pkg:npm/${name.replace("@", "%40")}@${version}`]];
  });
  return new Map(entries);
}
