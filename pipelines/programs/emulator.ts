import { join } from "node:path";
import { elfMachine } from "./elf-machine.ts";

/** How the kernel tells a program of an architecture (ELF header: class, byte order, type, machine) and what runs it. */
interface Emulator {
  readonly program: string;
  /** Hex, as many bytes as the mask has: the first 20 of an ELF file. */
  readonly magic: string;
}

/** e_type 2 is an executable; the mask below lets 3, which a position-independent one has, pass as well. */
const elf64 = (machine: string): string => `7f454c460201010000000000000000000200${machine}`;
const MASK = "ffffffffffffff00fffffffffffffffffeffffff";

const emulators: Readonly<Record<string, Emulator>> = {
  // EM_AARCH64 is 183, EM_X86_64 is 62.
  arm64: { program: "/usr/bin/qemu-aarch64", magic: elf64("b700") },
  amd64: { program: "/usr/bin/qemu-x86_64", magic: elf64("3e00") },
};

const escaped = (hex: string): string => hex.replaceAll(/../g, "\\x$&");

/**
 * Since Linux 6.7 a user namespace has binary formats of its own, so an emulator can be registered for these programs alone and the
 * machine's own list is neither asked nor touched. F opens the emulator now: it need not be inside the new root. O and C hand it the
 * program opened, with the program's own credentials (Documentation/admin-guide/binfmt-misc.rst).
 */
const REGISTER = `set -eu
mkdir /tmp/binfmt
mount -t binfmt_misc binfmt_misc /tmp/binfmt || { echo "this kernel has no binary formats of user namespaces: Linux 6.7 or newer with CONFIG_BINFMT_MISC is needed" >&2; exit 1; }
printf %s "$1" > /tmp/binfmt/register
shift
exec "$@"`;

/** What to put before a command so that it and all that it starts can run programs of `architecture`. */
export function emulatorCommand(architecture: string): readonly string[] {
  const emulator = emulators[architecture];
  if (emulator === undefined) throw new Error(`no emulator for ${architecture}`);
  const rule = `:secai-${architecture}:M::${escaped(emulator.magic)}:${escaped(MASK)}:${emulator.program}:OCF`;
  const namespace = ["unshare", "--user", "--mount", "--map-users=all", "--map-groups=all"];
  return [...namespace, "--", "sh", "-c", REGISTER, "sh", rule];
}

const DEBIAN_NAMES: ReadonlyMap<number | undefined, string> = new Map([
  [62, "amd64"],
  [183, "arm64"],
]);

/** As `emulatorCommand`, for what the programs of a root run on; nothing when that is what this program runs on. */
export function emulatorFor(root: string): readonly string[] {
  const machine = elfMachine(join(root, "usr/bin/dpkg"));
  if (machine === elfMachine(process.execPath)) return [];
  const architecture = DEBIAN_NAMES.get(machine);
  if (architecture === undefined) throw new Error(`no emulator for the machine ${machine} of ${root}/usr/bin/dpkg`);
  return emulatorCommand(architecture);
}
