import { ComponentType } from "@cyclonedx/cyclonedx-library/Enums";
import { Component, ComponentRepository } from "@cyclonedx/cyclonedx-library/Models";
import type { KernelModules } from "@secai/formats/kernel-modules";
import { PackageURL } from "packageurl-js";
import { fileComponent, properties } from "./document.ts";
import { SbomError } from "./errors.ts";
import { expressionRepository } from "./licences.ts";
import type { RootFile } from "./root-files.ts";

/** Where the list lies in an image that has modules of its own, and the folder that holds them. */
export const KERNEL_MODULES_FILE = "/usr/lib/secure-ai/kernel-modules.json";
const OWN_MODULES = /^\/usr\/lib\/modules\/[^/]+\/updates\/secai\//;

function component({ source, kernel, signer, compiler, modules }: KernelModules, distro: string): Component {
  const { package: name, version, patches } = source;
  const files = modules.map((module) => {
    const file = fileComponent(`kernel-modules:${module.path}`, module.path, module.sha256);
    file.version = module.version;
    file.licenses = expressionRepository(module.licence);
    return file;
  });
  return new Component(ComponentType.Library, name, {
    bomRef: "kernel-modules",
    version,
    purl: new PackageURL("deb", "debian", name, version, { distro }, undefined).toString(),
    components: new ComponentRepository(files),
    properties: properties({
      "modules:kernel": kernel.release,
      "modules:compiler": compiler,
      "modules:signer": signer.subject,
      "modules:patch": patches.map((patch) => `${patch.name} ${patch.sha256}`),
    }),
  });
}

/**
 * Kernel modules that were compiled for the image: each must be there as the list says, and none that it does not have.
 * @param distro "debian-13"
 * @returns their component by the path of each file
 * @throws SbomError SBOM_MODULE_DIFFERS
 */
export function kernelModuleComponents(
  list: KernelModules | undefined,
  files: readonly RootFile[],
  distro: string,
): ReadonlyMap<string, Component> {
  const there = new Map(files.flatMap((file) => (file.type === "file" ? [[file.path, file.sha256] as const] : [])));
  const byPath = new Map<string, Component>();
  if (list !== undefined) {
    const whole = component(list, distro);
    for (const { path, sha256 } of list.modules) {
      const actual = there.get(path);
      if (actual !== sha256)
        throw new SbomError("SBOM_MODULE_DIFFERS", { expected: `${path}, sha256 ${sha256}`, actual: actual ?? "no such file" });
      byPath.set(path, whole);
    }
  }
  const stray = files.find(({ path }) => OWN_MODULES.test(path) && !byPath.has(path));
  if (stray !== undefined)
    throw new SbomError("SBOM_MODULE_DIFFERS", { expected: `a line of ${KERNEL_MODULES_FILE}`, actual: stray.path });
  return byPath;
}
