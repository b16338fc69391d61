import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { Bundles } from "./bundle.ts";
import { readUnit, top } from "./unit.ts";

/** How a service is started for a test. `home` holds credentials/, policy/ and state/. */
export interface Runtime {
  readonly name: string;
  launch(home: string): { readonly argv: readonly string[]; readonly env: Readonly<Record<string, string>> };
}

const STATE = "secure-ai/policy-engine";
const ANCHOR = "secure-ai/policy-engine-anchor";

function unitFor(home: string) {
  for (const folder of [STATE, ANCHOR]) mkdirSync(join(home, "state", folder), { recursive: true });
  const unit = readUnit("secure-ai-policy-engine.service", { "%d": join(home, "credentials"), "%S": join(home, "state") });
  return { ...unit, environment: { ...unit.environment, BIND_ADDR: "127.0.0.1:0" } };
}

/** The source, on the Node that runs the tests. */
export const sourceRuntime: Runtime = {
  name: "source",
  launch(home) {
    const policy = { POLICY_PATH: join(home, "policy/policy.yaml"), AGENT_POLICY_PATH: join(home, "policy/agent.yaml") };
    return { argv: [process.execPath, "services-src/policy-engine/main.ts"], env: { ...unitFor(home).environment, ...policy } };
  },
};

/**
 * The bundle, on the image's own Node, by the unit's own command line: setpriv with its Landlock rules, the runner, the sealed manifest.
 * The tool root is the same distribution as the image; bubblewrap lays our files where the image has them.
 */
export function confinedRuntime({ lib, libexec }: Bundles): Runtime {
  return {
    name: "bundle under Landlock on the image's Node",
    launch(home) {
      const { command, environment } = unitFor(home);
      const places = {
        "/usr/lib/secure-ai": lib,
        "/usr/libexec/secure-ai": libexec,
        "/etc/secure-ai/policy": join(home, "policy"),
      };
      return {
        argv: ["bwrap", ...rootArguments(toolRoot()), ...bind(places), "--bind", home, home, "--", ...command],
        env: environment,
      };
    },
  };
}

/** @throws Error without a tool root: a test that cannot run must not pass */
export function toolRoot(): string {
  const path = process.env.SECAI_TOOL_ROOT;
  if (path === undefined || !existsSync(join(path, "usr/bin/node"))) {
    throw new Error(
      "SECAI_TOOL_ROOT names no tool root with Node in it; `make test` sets it, `secai tools machine --path` prints it",
    );
  }
  return path;
}

/** The tool root with its /usr/lib and /usr/libexec laid out entry by entry, so that more can be bound into them. */
function rootArguments(root: string): string[] {
  const open = ["usr", "usr/lib", "usr/libexec"];
  const entries = open.flatMap((folder) => readdirSync(join(root, folder)).map((name) => `${folder}/${name}`));
  const kept = entries.filter((path) => !open.includes(path) && path !== "usr/lib/secure-ai" && path !== "usr/libexec/secure-ai");
  return [
    ...["bin", "sbin", "lib", "lib64"].flatMap((name) => ["--symlink", `usr/${name}`, `/${name}`]),
    ...kept.flatMap((path) => ["--ro-bind", join(root, path), `/${path}`]),
    ...["etc/ssl", "etc/ld.so.cache"].flatMap((path) => ["--ro-bind", join(root, path), `/${path}`]),
    ...["--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp", "--die-with-parent", "--new-session"],
  ];
}

function bind(places: Readonly<Record<string, string>>): string[] {
  return Object.entries(places).flatMap(([to, from]) => ["--ro-bind", from, to]);
}

export const workingDirectory = top;
