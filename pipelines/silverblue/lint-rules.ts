import { lstatSync, readdirSync, readFileSync, readlinkSync, type Stats } from "node:fs";
import { join } from "node:path";
import { checkKernelArguments } from "./kernel-arguments.ts";

/** One rule of `bootc container lint` (crates/lib/src/lints.rs of bootc), by the name that bootc gives it. */
export interface LintRule {
  readonly name: string;
  /** "fatal": the image does not install or boot. */
  readonly level: "fatal" | "warning";
  /** What is wrong, or undefined. */
  check(root: string): string | undefined;
}

export interface LintFinding {
  readonly rule: string;
  readonly level: LintRule["level"];
  readonly detail: string;
}

const stat = (root: string, path: string): Stats | undefined => lstatSync(join(root, path), { throwIfNoEntry: false });
const isFolder = (root: string, path: string): boolean => stat(root, path)?.isDirectory() === true;
const inside = (root: string, path: string): readonly string[] =>
  isFolder(root, path) ? readdirSync(join(root, path)).sort() : [];
const nonEmpty = (root: string, folders: readonly string[]): string | undefined => {
  const found = folders.flatMap((folder) => inside(root, folder).map((name) => `/${folder}/${name}`));
  return found.length === 0 ? undefined : found.slice(0, 5).join(", ");
};

function kernels(root: string): string | undefined {
  const found = inside(root, "usr/lib/modules").filter(
    (version) => stat(root, `usr/lib/modules/${version}/vmlinuz`)?.isFile() === true,
  );
  return found.length === 1 ? undefined : `${found.length} kernels: ${found.join(", ")}`;
}

/** Only what bootc's files are made of: two arrays of plain strings, comments, nothing else. */
const TOML = /^kargs=\[(?<kargs>("[^"\\]*",?)*)\](match-architectures=\[("[^"\\]*",?)*\])?$/;

function kernelArguments(root: string): string | undefined {
  const all: string[] = [];
  for (const file of inside(root, "usr/lib/bootc/kargs.d").filter((name) => name.endsWith(".toml"))) {
    const text = readFileSync(join(root, "usr/lib/bootc/kargs.d", file), "utf8");
    const dense = text
      .replace(/^\s*#.*$/gm, "")
      .replace(/\s*([[\],=]|\n)\s*(?=([^"]*"[^"]*")*[^"]*$)/g, (_, token: string) => token.trim());
    const kargs = TOML.exec(dense.trim())?.groups?.kargs;
    if (kargs === undefined) return `${file} is not an array of strings named kargs`;
    all.push(...[...kargs.matchAll(/"([^"]*)"/g)].map(([, one = ""]) => one));
  }
  try {
    checkKernelArguments(all);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

/** Node shows bytes that are no UTF-8 as U+FFFD. */
function unreadableName(root: string, folder = ""): string | undefined {
  for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
    const path = `${folder}/${entry.name}`;
    const names = entry.isSymbolicLink() ? [entry.name, readlinkSync(join(root, path))] : [entry.name];
    if (names.some((name) => name.includes("\ufffd"))) return path;
    const below = entry.isDirectory() ? unreadableName(root, path) : undefined;
    if (below !== undefined) return below;
  }
  return undefined;
}

function baseRoot(root: string): string | undefined {
  if (!isFolder(root, "sysroot")) return "/sysroot is no folder";
  const link = stat(root, "ostree")?.isSymbolicLink() === true ? readlinkSync(join(root, "ostree")) : "";
  return link === "sysroot/ostree" ? undefined : "/ostree does not lead to sysroot/ostree";
}

function composefs(root: string): string | undefined {
  const path = ["etc/ostree/prepare-root.conf", "usr/lib/ostree/prepare-root.conf"].find(
    (one) => stat(root, one)?.isFile() === true,
  );
  const text = path === undefined ? "" : readFileSync(join(root, path), "utf8");
  return /^\[composefs\]\s*(?:[^[]*\n)?enabled\s*=\s*(yes|true|signed|verity)\s*$/m.test(text)
    ? undefined
    : "composefs is not enabled in prepare-root.conf";
}

function filesInVar(root: string, folder = "var"): string | undefined {
  for (const name of inside(root, folder)) {
    const path = `${folder}/${name}`;
    if (stat(root, path)?.isFile() === true) return `/${path} would be unpacked at installation only`;
    const below = filesInVar(root, path);
    if (below !== undefined) return below;
  }
  return undefined;
}

const API_FOLDERS = ["dev", "proc", "sys", "run", "tmp", "var"];

export const lintRules: readonly LintRule[] = [
  {
    name: "api-base-directories",
    level: "fatal",
    check: (root) => API_FOLDERS.filter((name) => !isFolder(root, name)).map((name) => `/${name} is no folder`)[0],
  },
  { name: "baseimage-composefs", level: "warning", check: composefs },
  { name: "baseimage-root", level: "fatal", check: baseRoot },
  { name: "bootc-kargs", level: "fatal", check: kernelArguments },
  {
    name: "buildah-injected",
    level: "warning",
    check: (root) =>
      ["etc/hostname", "etc/resolv.conf"].find((path) => stat(root, path)?.isFile() === true && stat(root, path)?.size === 0),
  },
  {
    name: "etc-usretc",
    level: "fatal",
    check: (root) => (stat(root, "etc") !== undefined && stat(root, "usr/etc") !== undefined ? "/etc and /usr/etc" : undefined),
  },
  { name: "kernel", level: "fatal", check: kernels },
  { name: "nonempty-boot", level: "warning", check: (root) => nonEmpty(root, ["boot"]) },
  { name: "nonempty-run-tmp", level: "warning", check: (root) => nonEmpty(root, ["run", "tmp"]) },
  { name: "utf8", level: "fatal", check: unreadableName },
  { name: "var-log", level: "warning", check: (root) => nonEmpty(root, ["var/log"]) },
  {
    name: "var-run",
    level: "fatal",
    check: (root) => (stat(root, "var/run")?.isDirectory() === true ? "/var/run is a folder" : undefined),
  },
  { name: "var-tmpfiles", level: "warning", check: filesInVar },
];

/** Every rule on a root; findings in order of names. */
export function lint(root: string): readonly LintFinding[] {
  return lintRules.flatMap(({ name, level, check }) => {
    const detail = check(root);
    return detail === undefined ? [] : [{ rule: name, level, detail }];
  });
}
