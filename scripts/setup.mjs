// Runs a TypeScript program of this repository on the pinned Node, installing the locked packages first when they changed.
// Plain JavaScript on purpose: it is the one file that the host's own Node (>= 20) executes. Imports nothing but the platform.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const top = dirname(dirname(fileURLToPath(import.meta.url)));
const stamp = join(top, "node_modules", ".secai-lock");
const node = join(top, "node_modules", `node-linux-${process.arch}`, "bin", "node");

/** Digest of everything that decides what `npm ci` installs. */
function lockDigest() {
  const hash = createHash("sha256");
  for (const file of ["package-lock.json", ".npmrc"]) hash.update(readFileSync(join(top, file)));
  return hash.digest("hex");
}

function installed() {
  return existsSync(node) && existsSync(stamp) && readFileSync(stamp, "utf8") === lockDigest();
}

/** One installation at a time: others wait for it, and take over what a killed one left. */
function withInstallLock(install) {
  const lock = join(top, ".setup.lock");
  const deadline = Date.now() + 10 * 60_000;
  for (;;) {
    try {
      writeFileSync(lock, String(process.pid), { flag: "wx" });
      break;
    } catch (error) {
      if (error.code !== "EEXIST") throw error;
      if (Date.now() > deadline || !alive(lock)) rmSync(lock, { force: true });
      else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200);
    }
  }
  try {
    install();
  } finally {
    rmSync(lock, { force: true });
  }
}

/** Whether the process that holds the lock still runs. */
function alive(lock) {
  try {
    return existsSync(`/proc/${Number(readFileSync(lock, "utf8"))}`);
  } catch {
    return false;
  }
}

function install() {
  if (installed()) return;
  console.error("setup: installing the locked npm packages (install scripts off)");
  const npm = spawnSync("npm", ["ci", "--no-audit", "--no-fund"], { cwd: top, stdio: ["ignore", 2, 2] });
  if (npm.status !== 0)
    fail("SETUP_NPM_FAILED: `npm ci` failed; check that npm can reach its registry, then run the command again");
  if (!existsSync(node)) fail(`SETUP_NO_RUNTIME: no pinned Node for linux-${process.arch}; supported: x64, arm64`);
  writeFileSync(stamp, lockDigest());
}

function fail(message) {
  console.error(`setup: ${message}`);
  rmSync(join(top, ".setup.lock"), { force: true });
  process.exit(3);
}

if (!installed()) withInstallLock(install);

const [program, ...args] = process.argv.slice(2);
if (program === undefined) process.exit(0);
const child = spawnSync(node, ["--disable-warning=ExperimentalWarning", join(top, program), ...args], { stdio: "inherit" });
if (child.signal !== null) process.kill(process.pid, child.signal);
process.exit(child.status ?? 70);
