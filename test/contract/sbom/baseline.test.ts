import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { parseBaseline } from "@secai/formats/baseline";
import { canonicalJson } from "@secai/formats/canonical-json";
import { sha256 } from "@secai/formats/digest";
import { afterAll, beforeAll, expect, test } from "vitest";
import { sandboxCommand } from "../../../pipelines/engine/sandbox.ts";
import { loadSources } from "../../../pipelines/sources.ts";
import { top } from "../../../scripts/house/tree.ts";
import { ToolFolder } from "../measure/tool-root.ts";

// The program as the plan runs it, over a small root whose units are enabled by the presets of systemd itself.
const folder = new ToolFolder();
afterAll(() => folder.remove());
const at = (path: string) => join(folder.path, path);

function put(path: string, content: string): void {
  mkdirSync(dirname(at(path)), { recursive: true });
  writeFileSync(at(path), content);
}

/** Runs a script with what a step over a tree may do. */
function asTree(script: string) {
  const [command = "", ...args] = sandboxCommand({
    root: { kind: "tree", path: process.env.SECAI_TOOL_ROOT ?? "" },
    argv: ["/bin/bash", "-euo", "pipefail", "-c", script],
    binds: [{ src: folder.path, dst: folder.path, writable: true }],
    ...{ env: { SOURCE_DATE_EPOCH: "1700000000" }, network: "none", privileges: "tree", cwd: folder.path },
  });
  const { status, stdout } = spawnSync(command, args, { encoding: "utf8", timeout: 120_000 });
  return { status, stdout };
}

const describeRoot = (root: string, out: string) =>
  asTree(
    `./node program.mjs --root ${root} --dpkg dpkg --root-hash ROOT_HASH --arguments 'ro quiet' --extensions '' --descriptions none --out ${out}`,
  );

const unit = (body: string, target: string) =>
  `[Unit]\nDescription=x\n[Service]\nExecStart=/bin/true\n${body}[Install]\nWantedBy=${target}\n`;

beforeAll(async () => {
  const sources = await loadSources(top, at("cache"), { sources: [], programs: ["baseline"] });
  put("program.mjs", readFileSync(sources.programPath("baseline"), "utf8"));
  writeFileSync(at("node"), readFileSync(process.execPath), { mode: 0o755 });
  put("ROOT_HASH", `${sha256("root")}\n`);
  put("dpkg/status", "Package: base\nStatus: install ok installed\nArchitecture: all\nVersion: 1:2\n");
  put("root/usr/lib/os-release", "ID=debian\n");
  put("root/etc/nftables.conf", "flush ruleset\n");
  put("root/etc/secure-ai/policy/policy.yaml", "a: 1\n");
  put("root/usr/lib/sysctl.d/90-secure-ai.conf", "kernel.sysrq = 0\n");
  put("root/usr/lib/secure-ai/health-endpoints", "one 8500 /health\n");
  put("root/usr/lib/secure-ai/services.json", `${canonicalJson({ schema: 1, services: {} })}\n`);
  put("root/usr/lib/systemd/system/secure-ai-one.service", unit("Environment=BIND_ADDR=127.0.0.1:8500\n", "multi-user.target"));
  put("root/usr/lib/systemd/system/other.service", unit("", "multi-user.target"));
  put("root/usr/lib/systemd/system/masked.service", unit("", "multi-user.target"));
  put("root/usr/lib/systemd/system-preset/10-x.preset", "enable secure-ai-one.service\nenable masked.service\ndisable *\n");
  put("root/usr/bin/mount", "program");
  chmodSync(at("root/usr/bin/mount"), 0o4755);
  put("root/usr/share/Főtanúsítvány.crt", "certificate");
  symlinkSync("usr/bin", at("root/bin"));
  const preset = asTree('systemctl --root="$PWD/root" --quiet --preset-mode=full preset-all');
  if (preset.status !== 0) throw new Error(preset.stdout);
  symlinkSync("/dev/null", at("root/etc/systemd/system/masked.service"));
});

test("the program describes a root: units as systemctl says, set-user-id bits, names of any script, ports, packages", () => {
  expect(describeRoot("root", "baseline.json")).toMatchObject({ status: 0 });
  const baseline = parseBaseline(readFileSync(at("baseline.json")));
  expect(baseline.commandLine).toBe(`roothash=${sha256("root")} ro quiet`);
  expect(baseline.units.map(({ name, enabled }) => [name, enabled])).toEqual([
    ["masked.service", false],
    ["other.service", false],
    ["secure-ai-one.service", true],
  ]);
  expect(baseline.ports).toEqual([{ service: "one", address: "127.0.0.1", port: 8500 }]);
  expect(baseline.packages).toEqual([{ name: "base", version: "1:2", architecture: "all" }]);
  const entries = new Map(baseline.files.map((entry) => [entry.path, entry]));
  expect(entries.get("/usr/bin/mount")).toMatchObject({ mode: "4755", sha256: sha256("program") });
  expect(entries.get("/usr/share/Főtanúsítvány.crt")).toMatchObject({ size: 11 });
  expect(entries.get("/bin")).toMatchObject({ type: "symlink", target: "usr/bin" });
  expect(entries.get("/etc/systemd/system/multi-user.target.wants/secure-ai-one.service")).toMatchObject({ type: "symlink" });
});

test("the sealed file system, unpacked again by its own tool, has the same baseline byte for byte", () => {
  const sealed = asTree("mkfs.erofs --quiet -T1700000000 --all-time root.erofs root && fsck.erofs --extract=unpacked root.erofs");
  expect(sealed).toMatchObject({ status: 0 });
  expect(describeRoot("unpacked", "again.json")).toMatchObject({ status: 0 });
  expect(readFileSync(at("again.json")).equals(readFileSync(at("baseline.json")))).toBe(true);
});

const refused = [
  { name: "a device", change: "mknod -m 600 root/usr/null c 1 3", undo: "rm root/usr/null", code: "BASELINE_ROOT_UNFIT" },
  {
    name: "a health check of a port that nobody serves",
    change: "echo 'one 8501 /health' > root/usr/lib/secure-ai/health-endpoints",
    undo: "echo 'one 8500 /health' > root/usr/lib/secure-ai/health-endpoints",
    code: "BASELINE_PORTS_DISAGREE",
  },
  {
    name: "a kernel setting without value",
    change: "echo kernel.x > root/usr/lib/sysctl.d/99-x.conf",
    undo: "rm root/usr/lib/sysctl.d/99-x.conf",
    code: "BASELINE_SETTING_MALFORMED",
  },
];
for (const { name, change, undo, code } of refused) {
  test(`a root with ${name} has no baseline`, () => {
    expect(asTree(change)).toMatchObject({ status: 0 });
    const run = describeRoot("root", "refused.json");
    asTree(undo);
    expect(run.status).not.toBe(0);
    expect(run.stdout).toContain(code);
  });
}
