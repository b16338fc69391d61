import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import { judge, policyFor, type RuntimeAnswer, runtimeVerdict } from "../vm/attest.ts";
import { expectEqual } from "../vm/expect.ts";
import type { Machine } from "../vm/machine.ts";
import { installUpdate } from "../vm/slot.ts";
import type { Scenario, Test } from "../vm/suite.ts";

// Root changes the running machine; the verifier names exactly what is no longer the release's.

interface Tampering {
  readonly id: string;
  /** What root does, in words. */
  readonly what: string;
  readonly script: string;
  /** Every check that must fail, sorted, and no other. */
  readonly fails: readonly string[];
  readonly smoke?: true;
}

const BUNDLE = "/usr/lib/secure-ai/services/policy-engine.mjs";
const POLICY = "/etc/secure-ai/policy/policy.yaml";
/** A copy of $1 with a line more, mounted over it. */
const cover = (path: string, comment: string) =>
  `cp ${path} /run/changed && echo '${comment}' >> /run/changed && mount --bind /run/changed ${path}`;
/** Leaves a program behind that outlives the command that started it. */
const background = (command: string) => `setsid ${command} >/dev/null 2>&1 </dev/null & sleep 3`;
const SHELL_UNIT = "[Service]\\nExecStart=/bin/bash\\nStandardInput=tty-force\\nStandardOutput=tty\\nTTYPath=/dev/tty9\\n";

/** A system extension with a program in it. */
const extensionTree = (path: string, name: string) =>
  `mkdir -p ${path}/usr/bin ${path}/usr/lib/extension-release.d && cp /usr/bin/sleep ${path}/usr/bin/evil && echo ID=_any > ${path}/usr/lib/extension-release.d/extension-release.${name}`;

const tamperings: readonly Tampering[] = [
  {
    id: "bundle",
    what: "a service bundle is covered by another",
    script: cover(BUNDLE, "// more"),
    fails: ["runtime.bundles", "runtime.mounts"],
    smoke: true,
  },
  {
    id: "unit",
    what: "a drop-in changes a unit",
    script:
      "d=/run/systemd/system/secure-ai-policy-engine.service.d; mkdir -p $d && printf '[Service]\\nMemoryMax=256M\\n' > $d/more.conf && systemctl daemon-reload",
    fails: ["runtime.units"],
  },
  {
    id: "unit-not-loaded",
    what: "a unit lies in wait for the next reload",
    script: "printf '[Service]\\nExecStart=/bin/true\\n' > /run/systemd/system/later.service",
    fails: ["runtime.units"],
  },
  {
    id: "unit-masked",
    what: "a timer of the release is masked",
    script: "systemctl mask --runtime --now systemd-tmpfiles-clean.timer && systemctl reset-failed",
    fails: ["runtime.units"],
  },
  {
    id: "policy",
    what: "a policy file is covered by another",
    script: cover(POLICY, "# more"),
    fails: ["runtime.mounts", "runtime.policies"],
  },
  {
    id: "policy-of-one-service",
    what: "a policy file is covered in one service's view alone",
    script: `cp ${POLICY} /run/changed && echo '# more' >> /run/changed && nsenter -t $(systemctl show -P MainPID secure-ai-policy-engine.service) -m mount --bind /run/changed ${POLICY}`,
    fails: ["runtime.mounts", "runtime.policies"],
  },
  {
    id: "firewall-flushed",
    what: "the firewall's rules are flushed",
    script: "nft flush ruleset",
    fails: ["runtime.firewall"],
    smoke: true,
  },
  {
    id: "firewall-rule",
    what: "one rule lets everything out",
    script: "nft insert rule inet secure_ai output accept",
    fails: ["runtime.firewall"],
  },
  {
    id: "firewall-file",
    what: "the ruleset file is covered by another, and loaded",
    script: `${cover("/etc/nftables.conf", "add rule inet secure_ai output accept")} && nft -f /etc/nftables.conf`,
    fails: ["runtime.firewall", "runtime.mounts"],
  },
  {
    id: "sysctl",
    what: "a kernel setting is weakened",
    script: "sysctl -q -w kernel.kptr_restrict=0",
    fails: ["runtime.sysctl"],
  },
  {
    id: "sysctl-masked",
    what: "a weakened setting is covered by the good value",
    script:
      "sysctl -q -w kernel.kptr_restrict=0 && echo 2 > /run/good && mount --bind /run/good /proc/sys/kernel/kptr_restrict && sysctl -n kernel.kptr_restrict",
    fails: ["runtime.mounts"],
  },
  {
    id: "listener",
    what: "a program listens on every address",
    script: background(`node -e 'require("net").createServer().listen(4444)'`),
    fails: ["runtime.listeners"],
    smoke: true,
  },
  {
    id: "listener-namespace",
    what: "a program listens in a network namespace of its own",
    script: background(`unshare --net node -e 'require("net").createServer().listen(4444)'`),
    fails: ["runtime.listeners"],
  },
  {
    id: "service-stopped",
    what: "a service no longer listens",
    script: "systemctl stop secure-ai-policy-engine.service",
    fails: ["runtime.listeners"],
  },
  {
    id: "debug-shell",
    what: "a debug shell waits on a console",
    script: `printf '${SHELL_UNIT}' > /run/systemd/system/maintenance.service && systemctl daemon-reload && systemctl start maintenance.service && sleep 1`,
    fails: ["runtime.shells", "runtime.units"],
  },
  {
    id: "debug-shell-unmasked",
    what: "systemd's own debug shell is unmasked and started",
    script:
      "mkdir -p /run/systemd/system.control && cp /usr/lib/systemd/system/debug-shell.service /run/systemd/system.control/ && systemctl daemon-reload && systemctl start debug-shell.service && sleep 1",
    fails: ["runtime.shells", "runtime.units"],
  },
  {
    id: "mount",
    what: "a file system is mounted over a part of /usr",
    script: "mount -t tmpfs tmpfs /usr/share/doc",
    fails: ["runtime.mounts"],
  },
  {
    id: "module",
    what: "a module that the release bars is loaded past modprobe",
    script: "insmod /usr/lib/modules/*/kernel/net/rds/rds.ko.xz && grep -q '^rds ' /proc/modules",
    fails: ["runtime.modules"],
  },
  {
    id: "program",
    what: "a program that is not in the root runs",
    script: `cp /usr/bin/sleep /run/miner && chmod 755 /run/miner && ${background("/run/miner 1000")}`,
    fails: ["runtime.processes"],
  },
  {
    id: "library",
    what: "a library that is not in the root is preloaded",
    script: `cp /usr/lib/x86_64-linux-gnu/libz.so.1 /run/hook.so && ${background("env LD_PRELOAD=/run/hook.so sleep 1000")}`,
    fails: ["runtime.processes"],
  },
  {
    id: "extension",
    what: "a folder is merged over /usr beside the release's extensions",
    script: `${extensionTree("/run/extensions/evil", "evil")} && systemd-sysext refresh --no-reload && test -e /usr/bin/evil`,
    // What runs came from below the merge that is gone, and services keep that in their view.
    fails: ["runtime.extensions", "runtime.mounts", "runtime.processes"],
  },
  {
    id: "extension-state",
    what: "an extension that root left on /var is merged",
    script: `${extensionTree("/var/lib/extensions/evil", "evil")} && systemd-sysext refresh --no-reload && test -e /usr/bin/evil`,
    fails: ["runtime.extensions", "runtime.mounts", "runtime.processes"],
  },
  {
    id: "extension-replaced",
    what: "a folder under the name of the release's extension is merged in its place",
    script: `systemd-sysext unmerge --no-reload && umount /run/extensions/vulkan && ${extensionTree("/run/extensions/vulkan", "vulkan")} && systemd-sysext merge --no-reload && test -e /usr/bin/evil`,
    // Its backend is missing, too.
    fails: ["runtime.bundles", "runtime.extensions", "runtime.mounts", "runtime.processes"],
  },
  {
    id: "swap",
    what: "swap is switched on, where secrets would end up on the disk",
    script:
      "head -c 8M /dev/zero > /var/swap && chmod 600 /var/swap && mkswap -q /var/swap && swapon /var/swap && sleep 2 && systemctl list-units --type=swap --no-legend | grep -q swap",
    fails: ["runtime.units"],
  },
];

function expectRejected({ verdict, failed, findings }: RuntimeAnswer, fails: readonly string[]): void {
  expectEqual(failed.join(" "), fails.join(" "), `failed checks of ${findings.join(" | ")}`);
  expectEqual(verdict, "rejected", "verdict");
}

const ask = (test: Test, machine: Machine) => runtimeVerdict(test.release, test.bench, machine, { trust: "test" });

const changed = tamperings.map(
  ({ id, what, script, fails, smoke }): Scenario => ({
    id: `tamper.${id}`,
    title: `When ${what}: ${fails.join(", ")}`,
    needs: "fork",
    ...(smoke === undefined ? {} : { smoke }),
    async run(test) {
      const machine = await test.fork();
      await machine.succeeds(script);
      expectRejected(await ask(test, machine), fails);
    },
  }),
);

const OTHER_IMAGE = ["boot.chain", "boot.command-line", "boot.initrd", "boot.uki", "root.verity"];

export const tamperScenarios: readonly Scenario[] = [
  {
    id: "tamper.none",
    title: "As a control: a machine that nobody has changed is accepted, twice",
    needs: "fork",
    async run(test) {
      const machine = await test.fork();
      for (const time of ["first", "second"]) {
        const { verdict, findings } = await ask(test, machine);
        expectEqual(findings.join("\n"), "", `findings, ${time} time`);
        expectEqual(verdict, "accepted", "verdict");
      }
    },
  },
  ...changed,
  {
    id: "tamper.stale-quote",
    title: "When an old answer is given to a new question: quote.nonce",
    needs: "shared",
    async run(test) {
      const { evidence } = await ask(test, await test.shared());
      const nonce = randomBytes(32).toString("hex");
      expectRejected(judge(evidence, nonce, await policyFor(test.release, test.bench, "test")), ["quote.nonce"]);
      expectRejected(judge({ ...evidence, nonce }, nonce, await policyFor(test.release, test.bench, "test")), ["quote.nonce"]);
    },
  },
  {
    id: "tamper.secure-boot-off",
    // Without Secure Boot the stub has firmware load the kernel, which then shows in PCR 4 too.
    title: "When Secure Boot is off: boot.chain, boot.secure-boot",
    needs: "boot",
    async run(test) {
      const machine = await test.machine(await test.disk(), { secureBoot: false });
      test.measure("agentMs", await machine.boot());
      await machine.waitForRunning();
      const answer = await ask(test, machine);
      expectRejected(answer, ["boot.chain", "boot.secure-boot"]);
      expectEqual(answer.failures.includes("SECURE_BOOT_OFF"), true, "SECURE_BOOT_OFF");
    },
  },
  {
    id: "tamper.other-image",
    title: `When another image runs, however well it is signed: ${OTHER_IMAGE.join(", ")}`,
    needs: "boot",
    async run(test) {
      const original = join(test.keyring, "pcr.key");
      if (!existsSync(original)) test.missing(`${original}, to sign an update's PCR policy`);
      const privateKey = join(test.bench.dir, "other-pcr.key");
      await copyFile(original, privateKey);
      const { tpmState, variables } = await test.world.off();
      const disk = await test.disk("used");
      const pcrPolicy = { privateKey, publicKey: join(test.bench.keysDir, "pcr.pub") };
      const update = { tries: 3, extraArguments: "", pcrPolicy };
      await installUpdate(test.bench, disk, test.release.read("uki.efi"), update, test.world.uniqueName("other"));
      const machine = await test.machine(disk, {}, { tpmState, variables });
      test.measure("agentMs", await machine.boot());
      await machine.waitForRunning();
      expectRejected(await ask(test, machine), OTHER_IMAGE);
    },
  },
];
