import type { BaselineFacts } from "./baseline.ts";
import { sha256 } from "./digest.ts";

const owner = { uid: 0, gid: 0 } as const;
const directory = (path: string) => ({ path, type: "directory", mode: "0755", ...owner }) as const;
const file = (path: string) => ({ path, type: "file", mode: "0644", ...owner, sha256: sha256(path), size: path.length }) as const;
const at = (path: string) => ({ path, sha256: sha256(path) });

const policy = "/etc/secure-ai/policy/policy.yaml";
const firewall = "/etc/nftables.conf";
const bundle = "/usr/lib/secure-ai/services/policy-engine.mjs";
const unit = "secure-ai-policy-engine.service";

/** Facts that every reader accepts; tests spoil them one at a time. */
export const exampleBaselineFacts: BaselineFacts = {
  rootHash: sha256("root"),
  kernelArguments: ["ro", "console=ttyS0"],
  files: [
    directory("/"),
    { path: "/bin", type: "symlink", mode: "0777", ...owner, target: "usr/bin" },
    ...[policy, firewall, bundle, `/usr/lib/systemd/system/${unit}`, "/usr/share/Főtanúsítvány.crt"].map(file),
  ],
  units: [{ name: unit, sha256: sha256(`/usr/lib/systemd/system/${unit}`), enabled: true }],
  ports: [{ service: "policy-engine", address: "127.0.0.1", port: 8500 }],
  services: { "policy-engine": at(bundle) },
  policies: [at(policy)],
  sysctl: { "kernel.sysrq": "0" },
  firewall: at(firewall),
  packages: [{ name: "libstdc++6", version: "14.2.0-19", architecture: "amd64" }],
};
