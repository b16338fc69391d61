// Runs a TypeScript program of this repository on the pinned Node, installing the locked packages first when they changed.
// Plain JavaScript on purpose: it is the one file that the host's own Node (>= 20) executes. Imports nothing but the platform.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const top = dirname(dirname(fileURLToPath(import.meta.url)));
const stamp = join(top, "node_modules", ".secai-lock");
const node = join(top, "node_modules", `node-linux-${process.arch}`, "bin", "node");

/** Digest of everything that decides what `npm ci` installs. */
function lockDigest() {
  const hash = createHash("sha256");
  for (const file of ["package-lock.json", "package.json", ".npmrc"]) hash.update(readFileSync(join(top, file)));
  return hash.digest("hex");
}

function installed() {
  return existsSync(node) && existsSync(stamp) && readFileSync(stamp, "utf8") === lockDigest();
}

if (!installed()) {
  console.error("setup: installing the locked npm packages (install scripts off)");
  const npm = spawnSync("npm", ["ci", "--no-audit", "--no-fund"], { cwd: top, stdio: ["ignore", 2, 2] });
  if (npm.status !== 0) {
    console.error("setup: SETUP_NPM_FAILED: `npm ci` failed; check that npm can reach its registry, then run the command again");
    process.exit(3);
  }
  if (!existsSync(node)) {
    console.error(`setup: SETUP_NO_RUNTIME: no pinned Node for linux-${process.arch}; supported: x64, arm64`);
    process.exit(3);
  }
  writeFileSync(stamp, lockDigest());
}

const [program, ...args] = process.argv.slice(2);
if (program === undefined) process.exit(0);
const child = spawnSync(node, ["--disable-warning=ExperimentalWarning", join(top, program), ...args], { stdio: "inherit" });
if (child.signal !== null) process.kill(process.pid, child.signal);
process.exit(child.status ?? 70);
