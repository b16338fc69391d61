// Turns the distribution's root into the appliance's: overlays, services, unit presets, everything removed that must not ship.
// tree --root DIR --overlays DIR,DIR --services DIR --programs DIR --purge PKG,PKG --remove GLOB,GLOB --image-id ID --version V
//   --extensions NAME=MIB,NAME=MIB --descriptions DIR --out DIR --dpkg DIR
import { cpSync, lstatSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { EXTENSION_PARTITION_TYPE, extensionsBytes } from "@secai/formats/extensions";
import { emulatorFor } from "./emulator.ts";
import { declared, extensionSlots } from "./extension-slots.ts";
import { folderIn, installPrograms, installServices } from "./installed.ts";
import { install, overlay } from "./overlay.ts";
import { removePaths } from "./remove-paths.ts";
import { listOf, readFlags, tool } from "./tool.ts";

const flag = readFlags(process.argv.slice(2));
const tree = flag("out");
const inTree = (path: string) => join(tree, path);

/**
 * The root hashes by which this root knows its system extensions, and for first boot the partitions: those that came with the disk, and as
 * many empty ones for the next version.
 */
function declareExtensions(): void {
  const slots = extensionSlots(flag("extensions"), flag("descriptions"));
  folderIn(tree, "usr/lib/secure-ai");
  writeFileSync(inTree("usr/lib/secure-ai/extensions.json"), extensionsBytes(declared(slots)), { mode: 0o644 });
  for (const { order, name, sizeMiB } of slots) {
    const size = `SizeMinBytes=${sizeMiB}M\nSizeMaxBytes=${sizeMiB}M\n`;
    const type = `[Partition]\nType=${EXTENSION_PARTITION_TYPE}\n`;
    const definition = (file: string, text: string) =>
      writeFileSync(inTree(`usr/lib/repart.d/${file}.conf`), text, { mode: 0o644 });
    definition(`22-extension-${order}-a`, `# Extension ${name}.\n${type}${size}`);
    definition(
      `32-extension-${order}-b`,
      `# Made at first boot: extension ${name} of the first update.\n${type}Label=_empty\n${size}`,
    );
  }
}

/** What can compute in this image; absent from an image without a runtime. */
function installGpuBackends(from: string): void {
  if (from === "") return;
  folderIn(tree, "usr/lib/secure-ai");
  install(from, inTree("usr/lib/secure-ai/gpu-backends.json"), 0o644);
}

/** Takes packages out of the tree and of its package database, whatever depends on them: the recipe says why. */
function purge(packages: readonly string[]): void {
  const installed = packages.filter(
    (name) => lstatSync(inTree(`var/lib/dpkg/info/${name}.list`), { throwIfNoEntry: false }) !== undefined,
  );
  if (installed.length === 0) return;
  const dpkg = ["dpkg", `--root=${tree}`, "--purge", "--force-depends", "--no-triggers", ...installed];
  const [program = "", ...args] = [...emulatorFor(tree), ...dpkg];
  tool(program, args);
}

const list = (name: string) => listOf(flag(name));

function identify(imageId: string, version: string): void {
  const path = inTree("usr/lib/os-release");
  const lines = readFileSync(path, "utf8")
    .trimEnd()
    .split("\n")
    .filter((line) => !line.startsWith("IMAGE_"));
  writeFileSync(path, `${[...lines, `IMAGE_ID=${imageId}`, `IMAGE_VERSION=${version}`].join("\n")}\n`);
  // An empty file: systemd then uses a transient id instead of asking first-boot questions (machine-id(5)).
  writeFileSync(inTree("etc/machine-id"), "");
}

/** /var is a volume of its own on the machine; only its mount point ships. */
function emptyVar(): void {
  for (const name of readdirSync(inTree("var"))) rmSync(inTree(join("var", name)), { recursive: true, force: true });
}

tool("cp", ["-a", "--reflink=auto", `${flag("root")}/.`, tree]);
purge(list("purge"));
cpSync(inTree("var/lib/dpkg"), flag("dpkg"), { recursive: true });
removePaths(tree, list("remove"));
for (const source of [...list("overlays"), ...list("additions")]) overlay(source, tree);
installGpuBackends(flag("gpu-backends"));
installServices(flag("services"), tree);
installPrograms(flag("programs"), tree);
declareExtensions();
identify(flag("image-id"), flag("version"));
tool("systemd-sysusers", [`--root=${tree}`]);
for (const name of ["passwd-", "group-", "shadow-", "gshadow-", ".pwd.lock"]) rmSync(inTree(join("etc", name)), { force: true });
tool("systemctl", [`--root=${tree}`, "--quiet", "--preset-mode=full", "preset-all"]);
emptyVar();
for (const path of ["efi", "boot", "var"]) folderIn(tree, path);
