import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseLock } from "../../pipelines/lock/load.ts";
import { formatLock } from "../../pipelines/lock/lock.ts";
import { parsePackagesIndex } from "../../pipelines/lock/packages-index.ts";
import { parseReleaseFile } from "../../pipelines/lock/release-file.ts";
import { parseRecipeFile } from "../../pipelines/recipe/recipe-file.ts";
import { parseFindings } from "../../pipelines/vex/findings.ts";
import { parseWaivers } from "../../pipelines/vex/waivers.ts";
import { top } from "../../scripts/house/tree.ts";
import type { Target } from "./target.ts";

// What a build reads of the world and of its operator: archives, recipes, waivers, a scanner's findings.

const RECIPE = "recipes/debian-13.yaml";
const WAIVERS = "recipes/waivers/debian-13.yaml";
const repository = (path: string): Buffer => readFileSync(join(top, path));

/** Whole but for its packages, of which a few do: thousands of inputs a second are made of it. */
function shortLock(): Buffer {
  const lock = parseLock(repository("recipes/locks/debian-13.lock.json").toString());
  const roots = Object.fromEntries(Object.entries(lock.roots).map(([name, packages]) => [name, packages.slice(0, 2)]));
  return Buffer.from(formatLock({ ...lock, roots: roots as unknown as typeof lock.roots }));
}

const PACKAGES = `Package: bash
Version: 5.2.37-2
Architecture: amd64
Essential: yes
Depends: libc6 (>= 2.36)
Filename: pool/main/b/bash/bash_5.2.37-2_amd64.deb
Size: 1500000
SHA256: ${"ab".repeat(32)}
Description: GNU Bourne Again SHell
 with a line more

`;

const RELEASE = `Origin: Debian
Suite: stable
Codename: trixie
Date: Sat, 01 Nov 2025 10:00:00 UTC
Valid-Until: Sat, 08 Nov 2025 10:00:00 UTC
Acquire-By-Hash: yes
Architectures: amd64 arm64
Components: main
SHA256:
 ${"ab".repeat(32)} 1500 main/binary-amd64/Packages.xz
`;

export const inputTargets = (): readonly Target[] => [
  { name: "recipe", seeds: [repository(RECIPE)], parse: (bytes) => parseRecipeFile(RECIPE, bytes.toString()) },
  { name: "lock", seeds: [shortLock()], parse: (bytes) => parseLock(bytes.toString()) },
  { name: "packages-index", seeds: [Buffer.from(PACKAGES)], parse: (bytes) => parsePackagesIndex(bytes.toString()) },
  { name: "release-file", seeds: [Buffer.from(RELEASE)], parse: (bytes) => parseReleaseFile(bytes.toString()) },
  { name: "waivers", seeds: [repository(WAIVERS)], parse: (bytes) => parseWaivers(bytes.toString(), "debian-13") },
  {
    name: "findings",
    seeds: [Buffer.from('[{"id":"CVE-2026-0001","package":"bash"}]\n')],
    parse: parseFindings,
  },
];
