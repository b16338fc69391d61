import { type BaselineFacts, baselineBytes, buildBaseline } from "@secai/formats/baseline";
import { canonicalJson } from "@secai/formats/canonical-json";
import { sha256 } from "@secai/formats/digest";
import type { FixtureChanges } from "../release/fixture.ts";

const owner = { uid: 0, gid: 0 } as const;
export const directory = (path: string) => ({ path, type: "directory", mode: "0755", ...owner }) as const;
export const file = (path: string, content: string, mode = "0644") =>
  ({ path, type: "file", mode, ...owner, sha256: sha256(content), size: content.length }) as const;

const BUNDLE = "export {};\n";
const bundlePath = "/usr/lib/secure-ai/services/policy-engine.mjs";
export const policyPath = "/etc/secure-ai/policy/policy.yaml";
export const firewallPath = "/etc/nftables.conf";
export const unitPath = (name: string) => `/usr/lib/systemd/system/${name}`;

/** A small sealed root; `change` is what another release of it has instead. */
export function rootFacts(change: Partial<BaselineFacts> = {}): BaselineFacts {
  return {
    rootHash: sha256("root"),
    kernelArguments: ["quiet", "lockdown=confidentiality", "console=tty0", "console=ttyS0"],
    files: [
      directory("/usr"),
      file("/usr/bin/tool", "tool"),
      file(policyPath, "policy"),
      file(firewallPath, "firewall"),
      file(bundlePath, BUNDLE),
      ...["a.service", "b.service"].map((name) => file(unitPath(name), name)),
    ],
    units: ["a.service", "b.service"].map((name) => ({ name, sha256: sha256(name), enabled: name === "a.service" })),
    ports: [{ service: "policy-engine", address: "127.0.0.1", port: 8500 }],
    services: { "policy-engine": { path: bundlePath, sha256: sha256(BUNDLE) } },
    policies: [{ path: policyPath, sha256: sha256("policy") }],
    sysctl: { "kernel.sysrq": "0", "net.ipv4.ip_forward": "0" },
    firewall: { path: firewallPath, sha256: sha256("firewall") },
    packages: ["bash", "nftables"].map((name) => ({ name, version: "1.0-1", architecture: "amd64" })),
    ...change,
  };
}

/** The files of a release over such a root, and an SBOM with these components. */
export function releaseOver(facts: BaselineFacts, components: Readonly<Record<string, string>>): FixtureChanges {
  const sbom = {
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    version: 1,
    metadata: { component: { type: "operating-system", name: "image" } },
    components: Object.entries(components).map(([name, version]) => ({ type: "library", name, version })),
  };
  const baseline = buildBaseline(facts);
  return {
    files: {
      "baseline.json": { content: baselineBytes(baseline) },
      "sbom/image.cdx.json": { content: canonicalJson(sbom) },
      "services/policy-engine.mjs": { content: BUNDLE },
    },
    measurements: { commandLine: baseline.commandLine },
  };
}
