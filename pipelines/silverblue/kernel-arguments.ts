import { SilverblueError } from "./errors.ts";

// bootc-kargs(5) of bootc: files /usr/lib/bootc/kargs.d/*.toml with `kargs` and `match-architectures`.

export const KERNEL_ARGUMENTS_PATH = "usr/lib/bootc/kargs.d/10-secai.toml";

/** A name and perhaps a value. No quotes: bootc and the kernel would split them differently. */
const ARGUMENT = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}(=[A-Za-z0-9._,:+/@-]{0,200})?$/;

/** What the installer or ostree sets for the machine at hand. */
const INSTALLERS = new Set([
  "root",
  "rootflags",
  "rootfstype",
  "ostree",
  "composefs",
  "initrd",
  "rw",
  "ro",
  "boot",
  "BOOT_IMAGE",
  "rd.luks.uuid",
]);

/** What would undo what the appliance promises; a name alone refuses every value. */
const WEAKENING: readonly (string | RegExp)[] = [
  ...[
    "init",
    "rdinit",
    "single",
    "emergency",
    "rescue",
    "1",
    "s",
    "S",
    "systemd.debug_shell",
    "systemd.debug-shell",
    "rd.shell",
    "rd.break",
  ],
  ...["nosmep", "nosmap", "nokaslr", "nopti", "nospectre_v1", "nospectre_v2", "ima_appraise", "module_blacklist", "systemd.unit"],
  /^mitigations=(?!auto(,nosmt)?$)/,
  /^lockdown=(?!confidentiality$)/,
  /^(selinux|enforcing|module\.sig_enforce|audit|init_on_alloc|init_on_free|page_alloc\.shuffle)=(0|off|n|N)$/,
  /^(pti|randomize_kstack_offset|slub_debug|apparmor)=(0|off|n|N|-)$/,
  /^(iommu|intel_iommu|amd_iommu)=(off|pt)$/,
  /^lsm=$/,
];

const refused = (expected: string, actual: string): SilverblueError =>
  new SilverblueError("KERNEL_ARGUMENT_REFUSED", { expected, actual });

/** @throws SilverblueError KERNEL_ARGUMENT_REFUSED for the first that must not stand in an image */
export function checkKernelArguments(all: readonly string[]): void {
  for (const [index, argument] of all.entries()) {
    const name = argument.split("=")[0] ?? "";
    if (!ARGUMENT.test(argument))
      throw refused("name or name=value without blanks and quotes", JSON.stringify(argument.slice(0, 100)));
    if (INSTALLERS.has(name)) throw refused("arguments that are the same on every machine", argument);
    if (WEAKENING.some((rule) => (typeof rule === "string" ? rule === name : rule.test(argument))))
      throw refused("arguments that weaken nothing", argument);
    // "console" may stand there for each console.
    if (name !== "console" && all.some((other, at) => at < index && other.split("=")[0] === name))
      throw refused("each argument once", argument);
    if (all.indexOf(argument) !== index) throw refused("each argument once", argument);
  }
}

/** The file for bootc. `architecture` as `uname -m` prints it. @throws SilverblueError KERNEL_ARGUMENT_REFUSED */
export function kernelArgumentsFile(all: readonly string[], architecture: string): string {
  checkKernelArguments(all);
  if (!/^(x86_64|aarch64)$/.test(architecture)) throw refused("x86_64 or aarch64", architecture);
  const lines = all.map((argument) => `  ${JSON.stringify(argument)},`);
  return ["# Kernel arguments of the recipe.", "kargs = [", ...lines, "]", `match-architectures = ["${architecture}"]`, ""].join(
    "\n",
  );
}
