import { lstatSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";

/** Folders whose content belongs to a running machine or to the build: emptied, the folders themselves stay. */
const EMPTIED = [
  "tmp",
  "run",
  "var/tmp",
  "var/cache",
  "var/log",
  "var/lib/dnf",
  "var/lib/rpm-state",
  "var/lib/systemd/catalog",
  "boot",
];
/** Left by tools that write password files, resolve names or keep a history. */
const REMOVED = [
  ...[
    "etc/passwd-",
    "etc/group-",
    "etc/shadow-",
    "etc/gshadow-",
    "etc/subuid-",
    "etc/subgid-",
    "etc/.pwd.lock",
    "etc/.updated",
    "var/.updated",
  ],
  ...[
    "root/.bash_history",
    "root/.rpmdb",
    "var/lib/systemd/random-seed",
    "usr/share/rpm/.rpm.lock",
    "usr/lib/sysimage/rpm/.rpm.lock",
  ],
];

/** What no layer of ours may hold, whoever put it there: caches, logs, locks, package files, sources, histories. */
const FORBIDDEN: readonly RegExp[] = [
  /^(tmp|run|var\/tmp|var\/cache|var\/log|var\/lib\/dnf|var\/lib\/rpm-state|boot)\/./,
  /(^|\/)(\.rpm\.lock|\.bash_history|\.pwd\.lock|\.git|\.svn|\.npm|\.cache|node_modules\/\.cache)(\/|$)/,
  /\.(rpm|deb|rpmsave|rpmnew|rpmorig)$/,
  /^usr\/src\/(?!kernels(\/|$)|debug$)./,
  /(-wal|-shm)$/,
];

/** A path of a layer, without a leading slash. */
export const isLeftover = (path: string): boolean => FORBIDDEN.some((pattern) => pattern.test(path));

function emptyFolder(path: string): void {
  if (lstatSync(path, { throwIfNoEntry: false })?.isDirectory() !== true) return;
  for (const name of readdirSync(path)) rmSync(join(path, name), { recursive: true, force: true });
}

/** Takes out of a root what the build left in it. Links are not followed. */
export function normalise(root: string): void {
  for (const path of EMPTIED) emptyFolder(join(root, path));
  for (const path of REMOVED) rmSync(join(root, path), { force: true });
}

/**
 * Compiled Python that scripts made while packages were installed holds the time of the build: what neither the base nor a package
 * brought goes. Packages' own stays, as it is.
 * @param owned absolute paths of all packages' files
 */
export function removeFreshBytecode(root: string, base: string, owned: ReadonlySet<string>, folder = ""): void {
  for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) removeFreshBytecode(root, base, owned, path);
    else if (
      entry.name.endsWith(".pyc") &&
      !owned.has(path) &&
      lstatSync(join(base, path), { throwIfNoEntry: false }) === undefined
    )
      rmSync(join(root, path));
  }
}
