import type { Bench } from "./bench.ts";

/** Release of the fixture's kernel, and the words its modules must bear. */
export const KERNEL = "6.14.0-63.fc42.x86_64";
export const VERMAGIC = `${KERNEL} SMP preempt mod_unload `;

export interface Spec {
  readonly name: string;
  readonly version?: string;
  readonly release?: string;
  readonly head?: string;
  /** Shell: what %install does, in the build root. */
  readonly install?: string;
  readonly scripts?: string;
  readonly files?: string;
}

/** Nothing that rpmbuild would do to the files on its own: they are what they are. */
const spec = ({
  name,
  version = "1.0",
  release = "1.fc42",
  head = "",
  install = "true",
  scripts = "",
  files = "",
}: Spec): string => `
%define debug_package %{nil}
%define __os_install_post %{nil}
%define _build_id_links none
Name: ${name}
Version: ${version}
Release: ${release}
Summary: ${name}
License: MIT
Vendor: Fedora Project
AutoReqProv: no
${head}
%description
${name}
%install
mkdir -p %{buildroot}; cd %{buildroot}
${install}
${scripts}
%files
%defattr(-,root,root)
${files}
`;

/** Builds packages with the tool root's rpmbuild into the bench's folder `out`. */
export function buildRpms(bench: Bench, out: string, specs: readonly Spec[]): void {
  for (const one of specs) bench.write(`specs/${out}/${one.name}-${one.version ?? "1.0"}.spec`, spec(one));
  const defines = [
    "_topdir /tmp/build",
    `_rpmdir ${bench.at(out)}`,
    "_rpmfilename %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm",
    "_tmppath /tmp",
  ];
  bench.tools(`
    export SOURCE_DATE_EPOCH; mkdir -p ${out}
    for spec in specs/${out}/*.spec; do
      rpmbuild -bb --quiet --target x86_64 --dbpath /tmp/none --nodeps ${defines.map((define) => `--define '${define}'`).join(" ")} \\
        --define '_buildhost fixture' --define 'use_source_date_epoch_as_buildtime 1' "$spec" > /tmp/log 2>&1 || { cat /tmp/log; exit 1; }
    done`);
}

/** A shell with its libraries, copied from the tool root: what packages' scripts run in. */
const shell = `
mkdir -p usr/bin usr/sbin usr/lib usr/lib64 usr/share/rpm usr/lib/sysimage etc var/cache var/log var/tmp tmp run proc dev sys sysroot/ostree boot root
ln -s usr/bin bin; ln -s usr/sbin sbin; ln -s usr/lib lib; ln -s usr/lib64 lib64; ln -s sysroot/ostree ostree; ln -s ../run var/run
ln -s ../../share/rpm usr/lib/sysimage/rpm
cp /usr/bin/bash usr/bin/bash; ln -s bash usr/bin/sh
for file in $(ldd /usr/bin/bash | grep -o '/lib[^ ]*'); do mkdir -p usr$(dirname $file); cp -L $file usr$file; done
printf 'NAME="Fedora Linux"\\nID=fedora\\nVERSION_ID=42\\nPRETTY_NAME="Fedora Linux 42 (Silverblue)"\\nVARIANT_ID=silverblue\\n' > usr/lib/os-release
ln -s ../usr/lib/os-release etc/os-release
printf 'root:x:0:0:root:/root:/bin/bash\\n' > etc/passwd; printf 'root:x:0:\\n' > etc/group
mkdir -p usr/lib/ostree; printf '[composefs]\\nenabled = yes\\n' > usr/lib/ostree/prepare-root.conf
mkdir -p usr/lib/systemd/system usr/lib/systemd/system-preset
printf 'disable *\\n' > usr/lib/systemd/system-preset/99-default-disable.preset
printf '[Unit]\\nDescription=Somebody else\\n[Service]\\nExecStart=/usr/bin/true\\n[Install]\\nWantedBy=multi-user.target\\n' > usr/lib/systemd/system/sshd.service
printf '[Unit]\\nDescription=Multi-User System\\n' > usr/lib/systemd/system/multi-user.target`;

export const basePackages: readonly Spec[] = [
  {
    name: "base-system",
    version: "42",
    head: "Provides: /bin/sh\nProvides: /usr/bin/sh",
    install: shell,
    files: "/*",
  },
  {
    name: "kernel-core",
    version: "6.14.0",
    release: "63.fc42",
    install: `d=usr/lib/modules/${KERNEL}; mkdir -p $d/kernel; echo kernel > $d/vmlinuz; echo initrd > $d/initramfs.img; : > $d/modules.order; : > $d/modules.builtin; : > $d/modules.builtin.modinfo; cp "$FIXTURE/own.ko" $d/kernel/own.ko`,
    files: `/usr/lib/modules/${KERNEL}`,
  },
  { name: "git-core", version: "2.49.0", install: "mkdir -p usr/bin; echo git > usr/bin/git", files: "/usr/bin/git" },
  {
    name: "library",
    version: "1.0",
    install: "mkdir -p usr/lib64; echo old > usr/lib64/library.so",
    files: "/usr/lib64/library.so",
  },
];

const unit = "[Unit]\\nDescription=Added\\n[Service]\\nExecStart=/usr/bin/true\\n[Install]\\nWantedBy=multi-user.target\\n";

/** What the recipe adds: one with a script, a unit and a preset; one that replaces an older version. */
export const addedPackages: readonly Spec[] = [
  {
    name: "added",
    head: "Requires: library >= 1.1\nRequires(post): /bin/sh\nEpoch: 2",
    install: `mkdir -p usr/bin usr/lib/systemd/system usr/lib/systemd/system-preset; echo added > usr/bin/added
printf '${unit}' > usr/lib/systemd/system/added.service; printf 'enable added.service\\n' > usr/lib/systemd/system-preset/50-added.preset
for name in nftables greenboot-healthcheck; do cp usr/lib/systemd/system/added.service usr/lib/systemd/system/$name.service; done`,
    scripts:
      "%post\necho configured > /etc/added.conf; echo cached > /var/cache/added; echo log > /var/log/added.log; : > /tmp/scratch\n[ -c /dev/null ] && [ -d /proc/1 ]",
    files:
      "/usr/bin/added\n/usr/lib/systemd/system/*.service\n/usr/lib/systemd/system-preset/50-added.preset\n%ghost /etc/added.conf",
  },
  {
    name: "user-of-its-own",
    // What rpm makes of a file in sysusers.d, for which it then asks for the user.
    head: "AutoReqProv: yes",
    install:
      "mkdir -p usr/lib/sysusers.d; printf 'u tss 59 \"TPM\" /dev/null\\n' > usr/lib/sysusers.d/tss.conf; echo x > usr/lib/owned",
    files: "/usr/lib/sysusers.d/tss.conf\n%attr(0640,root,tss) /usr/lib/owned",
  },
  {
    name: "library",
    version: "1.1",
    install: "mkdir -p usr/lib64; echo new > usr/lib64/library.so",
    files: "/usr/lib64/library.so",
  },
];
