import { expectEqual, expectMatch, expectNoMatch, expectNone, expectTrue } from "../vm/expect.ts";
import type { Scenario } from "../vm/suite.ts";

/** /usr/lib/secure-ai/services.json: what the runner may start. */
interface ServiceManifest {
  readonly services: Readonly<Record<string, { readonly path: string; readonly sha256: string }>>;
}

const SYSCTLS: Readonly<Record<string, string>> = {
  "kernel.kptr_restrict": "2",
  "kernel.dmesg_restrict": "1",
  "kernel.perf_event_paranoid": "3",
  "kernel.unprivileged_bpf_disabled": "1",
  "net.core.bpf_jit_harden": "2",
  "kernel.yama.ptrace_scope": "1",
  "kernel.kexec_load_disabled": "1",
  "kernel.sysrq": "0",
  "dev.tty.ldisc_autoload": "0",
  "net.ipv4.conf.all.rp_filter": "1",
  "net.ipv4.conf.all.accept_redirects": "0",
  "net.ipv4.conf.all.send_redirects": "0",
  "net.ipv4.conf.all.accept_source_route": "0",
  "net.ipv4.ip_forward": "0",
  "net.ipv4.tcp_syncookies": "1",
  "net.ipv6.conf.all.accept_ra": "0",
  "net.ipv6.conf.all.forwarding": "0",
  "fs.suid_dumpable": "0",
  "fs.protected_hardlinks": "1",
  "fs.protected_symlinks": "1",
  "fs.protected_fifos": "2",
  "fs.protected_regular": "2",
  "vm.mmap_min_addr": "65536",
  "vm.swappiness": "0",
  "kernel.core_pattern": "|/bin/false",
};

/** Compilers, assemblers, linkers, package managers and interpreters that nothing in the image needs. */
const FORBIDDEN_PROGRAMS = [
  ..."gcc g++ cc c++ clang as ld ld.bfd ld.gold make cmake go rustc cargo tcc".split(" "),
  ..."python3 python pip pip3 git npm npx corepack curl wget nc ncat socat ssh sshd gdb strace tcpdump".split(" "),
  ..."apt apt-get snap flatpak docker podman".split(" "),
];

/** Highest exposure that `systemd-analyze security` may give one of our services. */
const MAX_EXPOSURE = 2.0;
/** Units that cannot do with less: root with CAP_SYS_ADMIN in the machine's own mount namespace, because they mount or unmount for all. */
const MAX_EXPOSURE_OF: Readonly<Record<string, number>> = {
  "secure-ai-extensions.service": 4.0,
  "secure-ai-vault-broker.service": 4.5,
  // Not root, but sees every process and asks the kernel for the firewall's rules.
  "secure-ai-integrity-monitor.service": 2.4,
};

export const hardeningScenarios: readonly Scenario[] = [
  {
    id: "hardening.sysctls",
    title: "Kernel settings are in force",
    needs: "shared",
    smoke: true,
    async run(test) {
      const machine = await test.shared();
      const names = Object.keys(SYSCTLS);
      const values = (await machine.succeeds(`sysctl -n ${names.join(" ")}`)).trimEnd().split("\n");
      expectNone(
        names.filter((name, index) => values[index] !== SYSCTLS[name]).map((name) => `${name}=${values[names.indexOf(name)]}`),
        "wrong settings",
      );
    },
  },
  {
    id: "hardening.no-login",
    title: "No console, network or emergency path leads to a login or a shell",
    needs: "shared",
    async run(test) {
      const machine = await test.shared();
      const units = await machine.succeeds("systemctl list-units --all --plain --no-legend | awk '$2 == \"loaded\" {print $1}'");
      expectNoMatch(units, /^(.*getty@.*|serial-getty@.*|console-getty|sshd?|debug-shell|rescue|sulogin.*)\.service$/m, "units");
      const { stdout } = await machine.run("pgrep -a -x 'agetty|login|sulogin|sshd'");
      expectEqual(stdout.trim(), "", "login programs");
      for (const unit of ["emergency.service", "rescue.service", "debug-shell.service"]) {
        const run = await machine.succeeds(`systemctl show -P ExecStart ${unit}`);
        expectNoMatch(run, /sulogin|\/bin\/(ba)?sh\b/, unit);
      }
    },
  },
  {
    id: "hardening.accounts",
    title: "Every account is locked, root included, and none has a shell of its own",
    needs: "shared",
    async run(test) {
      const machine = await test.shared();
      const open = await machine.succeeds("awk -F: '$2 !~ /^[!*]/ {print $1}' /etc/shadow");
      expectNone(open, "accounts with a password or none");
      const shells = await machine.succeeds("awk -F: '$3 >= 1 && $7 !~ /(nologin|false|sync)$/ {print $1\":\"$7}' /etc/passwd");
      expectNone(shells, "accounts with a shell");
      await machine.fails("test -s /root/.ssh/authorized_keys");
      expectNone(
        await machine.succeeds("find /root /home -type f \\( -name '*history' -o -name '.viminfo' \\)"),
        "shell histories",
      );
    },
  },
  {
    id: "hardening.no-tools",
    title: "No compiler, package manager or network tool is in the image",
    needs: "shared",
    async run(test) {
      const machine = await test.shared();
      expectNone((await machine.run(`type -P ${FORBIDDEN_PROGRAMS.join(" ")}`)).stdout, "forbidden programs");
    },
  },
  {
    id: "hardening.no-test-code",
    title: "The image holds no test code: what tests it came from outside",
    needs: "shared",
    async run(test) {
      const machine = await test.shared();
      expectNone(
        await machine.succeeds(
          "find / -xdev \\( -iname '*secai-test*' -o -iname '*.test.*' -o -iname '*test-agent*' \\) -not -path '/usr/lib/modules/*'",
        ),
        "test files",
      );
      expectNone(
        (
          await machine.run(
            "grep -rlsE 'org\\.secai\\.test|secai-test-agent' /etc /usr/lib/secure-ai /usr/libexec /usr/lib/systemd",
          )
        ).stdout,
        "mentions of the test agent",
      );
      const source = await machine.succeeds("systemctl show -P FragmentPath secai-test-agent.service");
      expectMatch(source, /^\/run\//, "where the test agent's unit lies");
    },
  },
  {
    id: "hardening.no-private-keys",
    title: "The image holds no private key and no credential",
    needs: "shared",
    async run(test) {
      const machine = await test.shared();
      const found = await machine.run(
        "grep -rlsE -- '-----BEGIN ([A-Z]+ )?PRIVATE KEY-----' /etc /usr/lib/secure-ai /usr/libexec /usr/share /root /opt /srv",
      );
      expectNone(found.stdout, "files with a private key");
    },
  },
  {
    id: "hardening.core-dumps",
    title: "A crashing process leaves no core file",
    needs: "fork",
    async run(test) {
      const machine = await test.fork();
      await machine.run("cd /var/tmp && ulimit -c unlimited; sh -c 'kill -SEGV $$'");
      expectNone(
        await machine.succeeds("find /var /tmp /run -xdev -name 'core*' -type f -size +0 2>/dev/null || true"),
        "core files",
      );
    },
  },
  {
    id: "hardening.setuid",
    title: "No set-user-ID or set-group-ID program and no file capability can be used by a service",
    needs: "shared",
    async run(test) {
      const machine = await test.shared();
      const writable = await machine.succeeds("find / -xdev -type f -perm /6000 -perm /0022");
      expectNone(writable, "set-ID files that others may write");
      expectNone(
        await machine.succeeds("find / -xdev -perm -0002 -not -type l -not -path '/tmp' -not -path '/var/tmp' 2>/dev/null"),
        "world-writable paths in the root",
      );
    },
  },
  {
    id: "hardening.exposure",
    title: `Every service of ours has an exposure of at most ${MAX_EXPOSURE.toFixed(1)}, three of more, for a reason each`,
    needs: "shared",
    async run(test) {
      const machine = await test.shared();
      const { services } = JSON.parse(await machine.succeeds("cat /usr/lib/secure-ai/services.json")) as ServiceManifest;
      const units = Object.keys(services).map((name) => `secure-ai-${name}.service`);
      expectTrue(units.length > 0, "services in the sealed manifest", "none");
      for (const unit of units) {
        const verdict = (await machine.succeeds(`systemd-analyze security --no-pager ${unit} | tail -n 1`)).trim();
        const exposure = Number(expectMatch(verdict, /: (\d+\.\d) /, unit)[1]);
        test.measure(`exposureTenths.${unit}`, exposure * 10);
        const limit = MAX_EXPOSURE_OF[unit] ?? MAX_EXPOSURE;
        expectTrue(exposure <= limit, `${unit}: at most ${limit}`, String(exposure));
      }
    },
  },
  {
    id: "hardening.modules",
    title: "Unsigned kernel modules are refused",
    needs: "fork",
    async run(test) {
      const machine = await test.fork();
      // The kernel checks the signature before it looks at anything else, so any file without one will do.
      await machine.succeeds("cp /usr/bin/true /run/unsigned.ko");
      expectMatch(
        await machine.fails("insmod /run/unsigned.ko"),
        /not permitted|Key was rejected|Required key/i,
        "an unsigned module",
      );
    },
  },
  {
    id: "hardening.services-sealed",
    title: "Every service bundle is the one of the release and of the sealed manifest",
    needs: "shared",
    async run(test) {
      const machine = await test.shared();
      const { services } = JSON.parse(await machine.succeeds("cat /usr/lib/secure-ai/services.json")) as ServiceManifest;
      const programs = test.release.services().filter((name) => services[name] === undefined);
      const bundles = [
        ...Object.entries(services).map(([name, { path }]) => ({ name, path })),
        ...programs.map((name) => ({ name, path: `/usr/libexec/secure-ai/${name}.mjs` })),
      ];
      for (const { name, path } of bundles) {
        const digest = (await machine.succeeds(`sha256sum ${path}`)).slice(0, 64);
        expectEqual(digest, test.release.digest(`services/${name}.mjs`), `${name} in the image`);
        expectEqual(services[name]?.sha256 ?? digest, digest, `${name} in the sealed manifest`);
      }
    },
  },
];
