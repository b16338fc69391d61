// `lint.ts [--json FILE]`: what must hold of the sources without running them. Each check is a list of findings; none is the pass.
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { forbiddenText, localHosts } from "./house/forbidden-text.ts";
import { missingTool } from "./house/host-tool.ts";
import { readImportGraph } from "./house/imports.ts";
import { lockFindings, manifestFindings, npmrcFindings, undeclaredImports, unusedDependencies } from "./house/npm-rules.ts";
import { readRepositoryFile, repositoryFiles, top } from "./house/tree.ts";

const bin = (name: string): string => join(top, "node_modules/.bin", name);
const files = repositoryFiles();

/** Runs a tool that prints its own findings. */
function tool(command: string, args: readonly string[]): readonly string[] {
  const { status, error } = spawnSync(command, args, { cwd: top, stdio: ["ignore", "inherit", "inherit"] });
  return status === 0
    ? []
    : [`${[command.replace(`${top}/`, ""), ...args.slice(0, 2)].join(" ")}: ${error?.message ?? `exit status ${status}`}`];
}

function isShellScript(path: string): boolean {
  return path.endsWith(".sh") || /^#!\s*\S*(\/env )?\S*\b(ba|da)?sh\b/.test(readRepositoryFile(path).slice(0, 64));
}

function shellcheck(): readonly string[] {
  const missing = missingTool("shellcheck", "shellcheck");
  if (missing !== undefined) return [`shellcheck is missing; run: ${missing}`];
  const candidates = files.filter(
    (path) => !/\.(ts|json|md|ya?ml|lock|bin|png)$/.test(path) && !path.startsWith("test/vectors/"),
  );
  return tool("shellcheck", ["--external-sources", "--severity=warning", "--", ...candidates.filter(isShellScript)]);
}

function packages(): readonly string[] {
  const { imports } = readImportGraph(top, join(top, "node_modules/typescript/bin/tsc"));
  const shared = JSON.parse(readRepositoryFile("package.json"));
  const manifests = files.filter((path) => /(^|\/)package\.json$/.test(path) && !path.startsWith("test/vectors/"));
  return manifests.flatMap((path) => {
    const manifest = JSON.parse(readRepositoryFile(path));
    const inside = imports.filter(({ from }) => from.startsWith(`${dirname(path)}/`));
    if (path === "package.json") return manifestFindings(path, manifest);
    const specifiers = inside.map(({ specifier }) => specifier);
    return [
      ...manifestFindings(path, manifest),
      ...unusedDependencies(path, manifest, specifiers),
      ...undeclaredImports(path, manifest, shared, inside),
    ];
  });
}

function mirrors(): string {
  const ask = (command: string, args: readonly string[]) => spawnSync(command, args, { cwd: top, encoding: "utf8" }).stdout ?? "";
  return `${ask("npm", ["config", "get", "registry"])}\n${ask("apt-get", ["indextargets", "--format", "$(SITE)"])}`;
}

function forbidden(): readonly string[] {
  const hosts = localHosts(mirrors());
  const places = files.filter((path) => !path.startsWith("test/vectors/"));
  return places.flatMap((path) => forbiddenText(path, readRepositoryFile(path), hosts));
}

const checks: Readonly<Record<string, () => readonly string[]>> = {
  types: () => tool(bin("tsc"), ["-p", "."]),
  "format and lint": () => tool(bin("biome"), ["check", "--error-on-warnings", "."]),
  shell: shellcheck,
  "package.json": packages,
  "package-lock.json": () => lockFindings(JSON.parse(readRepositoryFile("package-lock.json")).packages),
  ".npmrc": () => npmrcFindings(readRepositoryFile(".npmrc")),
  "forbidden text": forbidden,
  "control matrix": () => tool(process.execPath, ["scripts/control-matrix.ts", "--check"]),
};

const failed: string[] = [];
for (const [name, check] of Object.entries(checks)) {
  const findings = check();
  for (const finding of findings) console.log(`  ${finding}`);
  console.log(`${findings.length === 0 ? "ok" : "FAILED"}  ${name}`);
  if (findings.length > 0) failed.push(`lint: ${name}: ${findings.length} findings, the first: ${findings[0]}`);
}
const resultFile = process.argv[2] === "--json" ? process.argv[3] : undefined;
const passed = Object.keys(checks).length - failed.length;
if (resultFile !== undefined) writeFileSync(resultFile, JSON.stringify({ passed, failed, skipped: [] }));
process.exitCode = failed.length === 0 ? 0 : 1;
