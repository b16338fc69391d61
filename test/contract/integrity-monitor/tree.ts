import { chmodSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

// A machine in a folder: what the monitor reads of a root, of /proc and of /sys, as text that a test changes.

export const ROOT_HASH = "a".repeat(64);
const shippedPolicy = join(import.meta.dirname, "../../../image/common/etc/secure-ai/policy/integrity-monitor.yaml");

const mountLine = (id: number, device: string, root: string, point: string, type: string): string =>
  `${id} 1 ${device} ${root} ${point} rw,relatime shared:1 - ${type} source rw\n`;
const MOUNTS = [
  mountLine(20, "254:0", "/", "/", "erofs"),
  mountLine(21, "0:22", "/", "/proc", "proc"),
  mountLine(22, "0:23", "/", "/run", "tmpfs"),
  mountLine(23, "254:5", "/", "/var", "ext4"),
].join("");

const chain = (hook: string, policy = "drop") => ({
  chain: { family: "inet", table: "secure_ai", name: hook, handle: 1, type: "filter", hook, prio: 0, policy },
});
/** What `nft -j list ruleset` prints. */
export const ruleset = (...extra: readonly object[]): string =>
  JSON.stringify({
    nftables: [
      { metainfo: { version: "1.1.3", json_schema_version: 1 } },
      { table: { family: "inet", name: "secure_ai", handle: 1 } },
      ...["input", "output", "forward"].map((hook) => chain(hook)),
      ...extra,
    ],
  });

const SOCKETS = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
/** A line of /proc/net/tcp. */
export const listening = (port: number, uid: number, inode: number): string =>
  `   0: 0100007F:${port.toString(16).toUpperCase().padStart(4, "0")} 00000000:0000 0A 00000000:00000000 00:00000000 00000000 ${uid} 0 ${inode} 1 0 100 0 0 10 0\n`;

export interface Tree {
  readonly path: string;
  at(path: string): string;
  write(path: string, content: string | Buffer, mode?: number): void;
  read(path: string): string;
  mount(...lines: readonly string[]): void;
  remove(): Promise<void>;
}

export { mountLine };

/** Adds to, or replaces, what `nft` says. */
export function setRuleset(tree: Tree, json: string): void {
  tree.write("/nft-ruleset.json", json);
}

/** Shell: a line whenever `file` changes, as long as whoever started it lives. */
const tellOf = (file: string): string => `last=$(cksum < "${file}")
while sleep 0.2 && kill -0 "$PPID" 2>/dev/null; do
  now=$(cksum < "${file}")
  [ "$now" = "$last" ] || echo changed
  last=$now
done`;

/** A fake of nft(8) as far as the monitor uses it: lists a file; as a monitor prints a line whenever that file changes. */
const NFT = `#!/bin/sh
here=$(dirname "$0")/../..
if [ "$1" = monitor ]; then
  ${tellOf("$here/nft-ruleset.json")}
  exit 0
fi
exec cat "$here/nft-ruleset.json"
`;

/** A fake of `findmnt --poll`: a line whenever what the system shows as mounted changes. */
const FINDMNT = `#!/bin/sh
here=$(dirname "$0")/../..
${tellOf("$here/proc/1/mountinfo")}
`;

export function createTree(): Tree {
  const path = mkdtempSync(join(realpathSync(tmpdir()), "secai-integrity-"));
  const tree: Tree = {
    path,
    at: (inside) => join(path, inside),
    write(inside, content, mode) {
      mkdirSync(dirname(join(path, inside)), { recursive: true });
      writeFileSync(join(path, inside), content);
      if (mode !== undefined) chmodSync(join(path, inside), mode);
    },
    read: (inside) => readFileSync(join(path, inside), "utf8"),
    mount: (...lines) => tree.write("/proc/1/mountinfo", MOUNTS + lines.join("")),
    remove: () => rm(path, { recursive: true, force: true }),
  };
  fill(tree);
  return tree;
}

function fill(tree: Tree): void {
  tree.write("/etc/secure-ai/policy/integrity-monitor.yaml", readFileSync(shippedPolicy));
  tree.write("/etc/secure-ai/policy/policy.yaml", "version: 1\n");
  tree.write("/etc/nftables.conf", "flush ruleset\n");
  tree.write("/etc/sysctl.d/10.conf", "kernel.kptr_restrict = 2\n");
  tree.write("/etc/modprobe.d/10.conf", "install rds /bin/false\n");
  tree.write("/usr/lib/secure-ai/services/policy-engine.mjs", "// engine\n");
  tree.write("/usr/lib/secure-ai/trust/release.pub", "a key\n");
  tree.write("/usr/lib/secure-ai/extensions.json", '{"extensions":[],"schema":1}\n');
  tree.write("/usr/lib/systemd/system/secure-ai-policy-engine.service", "[Service]\n");
  tree.write("/usr/lib/modules/6.12/kernel/fs/erofs/erofs.ko.xz", "module");
  tree.write("/usr/lib/modules/6.12/kernel/net/rds/rds.ko.xz", "module");
  tree.write("/usr/sbin/nft", NFT, 0o755);
  tree.write("/usr/bin/findmnt", FINDMNT, 0o755);
  tree.write("/run/systemd/generator/var.mount", "[Mount]\n");
  mkdirSync(tree.at("/run/systemd/transient"), { recursive: true });
  mkdirSync(tree.at("/run/systemd/system"), { recursive: true });
  tree.write("/var/lib/secure-ai/credentials/policy-engine.token", "s".repeat(64), 0o600);
  tree.write("/var/lib/secure-ai/tpm-attestation/profile.json", "{}\n");
  mkdirSync(tree.at("/var/lib/secure-ai/vault/models"), { recursive: true });
  mkdirSync(tree.at("/var/lib/secure-ai/registry"), { recursive: true });
  tree.write("/proc/cmdline", `roothash=${ROOT_HASH} lockdown=confidentiality\n`);
  tree.mount();
  tree.write("/proc/1/cgroup", "0::/init.scope\n");
  tree.write("/proc/1/stat", "1 (systemd) S 0 1 1 0 -1 4194560 0\n");
  tree.write("/proc/1/net/tcp", SOCKETS + listening(8500, 61_200, 100));
  tree.write("/proc/modules", "erofs 65536 1 - Live 0x0\n");
  tree.write("/proc/sys/kernel/tainted", "0\n");
  tree.write("/proc/sys/kernel/kptr_restrict", "2\n");
  tree.write("/proc/sys/fs/inotify/max_queued_events", "16384\n");
  tree.write("/sys/dev/block/254:0/dm/uuid", "CRYPT-VERITY-0123-root\n");
  setRuleset(tree, ruleset());
}
