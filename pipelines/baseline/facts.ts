import type { Baseline, BaselineEntry, BaselineFacts } from "@secai/formats/baseline";
import { parseSha256, type Sha256 } from "@secai/formats/digest";
import { BaselineError } from "./errors.ts";
import { portsOf } from "./ports.ts";
import type { ReadFile } from "./root.ts";
import { effectiveSysctl, isSysctlFile } from "./sysctl.ts";
import { enabledUnits, unitsOf } from "./units.ts";

export const FIREWALL_FILE = "/etc/nftables.conf";
export const SERVICES_FILE = "/usr/lib/secure-ai/services.json";
export const ENDPOINTS_FILE = "/usr/lib/secure-ai/health-endpoints";
const POLICY_FOLDER = "/etc/secure-ai/policy/";

export interface FactsInputs {
  readonly files: readonly BaselineEntry[];
  readonly read: ReadFile;
  readonly rootHash: Sha256;
  readonly kernelArguments: readonly string[];
  /** What `systemctl --root=DIR list-unit-files --no-legend --plain` says. */
  readonly unitFiles: string;
  readonly packages: Baseline["packages"];
}

/** The sealed list of service bundles; the runner starts nothing that is not in it. */
function servicesOf(text: string): Baseline["services"] {
  const { services } = Object(JSON.parse(text)) as { services?: Record<string, { path: string; sha256: string }> };
  if (services === undefined)
    throw new BaselineError("BASELINE_SETTING_MALFORMED", { expected: `services in ${SERVICES_FILE}`, actual: "none" });
  return Object.fromEntries(
    Object.entries(services).map(([name, { path, sha256 }]) => [name, { path, sha256: parseSha256(sha256) }]),
  );
}

/**
 * What a root is, from its files and what the tools of its own distribution say of it.
 * @throws BaselineError BASELINE_SETTING_MALFORMED, BASELINE_PORTS_DISAGREE; FormatError from a services.json with other digests
 */
export function baselineFacts({ files, read, rootHash, kernelArguments, unitFiles, packages }: FactsInputs): BaselineFacts {
  const regular = files.filter((file) => file.type === "file");
  const at = (path: string) => {
    const found = regular.find((file) => file.path === path);
    if (found === undefined) throw new BaselineError("BASELINE_SETTING_MALFORMED", { expected: path, actual: "no such file" });
    return { path, sha256: found.sha256 };
  };
  const units = unitsOf(files, enabledUnits(unitFiles));
  const texts = units.filter(({ enabled }) => enabled).map(({ name }) => [name, read(unitPath(regular, name))] as const);
  const sysctl = regular.filter(({ path }) => isSysctlFile(path)).map(({ path }) => ({ path, text: read(path) }));
  return {
    rootHash,
    kernelArguments,
    files,
    units,
    ports: portsOf(new Map(texts), read(ENDPOINTS_FILE)),
    services: servicesOf(read(SERVICES_FILE)),
    policies: regular.filter(({ path }) => path.startsWith(POLICY_FOLDER)).map(({ path, sha256 }) => ({ path, sha256 })),
    sysctl: effectiveSysctl(sysctl),
    firewall: at(FIREWALL_FILE),
    packages,
  };
}

function unitPath(files: readonly BaselineEntry[], name: string): string {
  const inEtc = `/etc/systemd/system/${name}`;
  return files.some(({ path }) => path === inEtc) ? inEtc : `/usr/lib/systemd/system/${name}`;
}
