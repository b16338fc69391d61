import type { ExecStep, Input, Secret } from "../step.ts";
import { directory, file, outputOf, programStep } from "./exec.ts";

/** A package of the tool root that brings kernel modules as sources. */
export interface ModuleSource {
  readonly package: string;
  /** As the lock has it. */
  readonly version: string;
  /** The archive of sources, where the package puts it in the tool root. */
  readonly archive: string;
  /** Folder in the archive that has the Makefile. */
  readonly folder: string;
  /** Repository folder of the patches that the sources need, applied in the order of their names. */
  readonly patches: string;
  /** Files that must come out, without ".ko". */
  readonly modules: readonly string[];
  /** Further variables for make. */
  readonly make: Readonly<Record<string, string>>;
}

/** What computing takes of NVIDIA's open driver: no display (nvidia-modeset, nvidia-drm), no InfiniBand (nvidia-peermem). */
const computing = ["nvidia", "nvidia-uvm"] as const;

/** NVIDIA's open kernel modules, from Debian's package. `version`: the lock's. */
export function nvidiaOpen(version: string): ModuleSource {
  return {
    package: "nvidia-open-kernel-source",
    version,
    archive: "/usr/src/nvidia-open-kernel.tar.xz",
    folder: "modules/nvidia-open-kernel",
    patches: "recipes/patches/nvidia-open-kernel-source",
    modules: computing,
    make: { NV_KERNEL_MODULES: computing.join(" ") },
  };
}

export interface ModulesInputs {
  readonly source: ModuleSource;
  /** The kernel trusts for modules what firmware's db holds, so this is the key that signs what boots. */
  readonly dbCertificate: Input;
  readonly dbKey: Secret;
  readonly sourceDateEpoch: number;
}

const moduleTools = outputOf("root.modules", "root");
const imageRoot = outputOf("root.image", "root");

/**
 * Compiles for the kernel whose headers, and so whose package, the tool root has. Sees neither the image nor a key, so that no change of
 * those costs a new compilation; step "modules" refuses what is not for the image's kernel.
 */
function buildStep({ source, sourceDateEpoch }: ModulesInputs): ExecStep {
  return programStep({
    id: "modules.build",
    title: `kernel modules of ${source.package}`,
    program: "kernel-modules-build",
    tools: moduleTools,
    inputs: { "/in/patches": { kind: "source", path: source.patches } },
    flags: {
      root: "/",
      source: source.archive,
      folder: source.folder,
      patches: "/in/patches",
      modules: source.modules.join(","),
      make: Object.entries(source.make)
        .map(([name, value]) => `${name}=${value}`)
        .join("\n"),
      out: "/out/built",
    },
    outputs: { built: directory("/out/built") },
    sourceDateEpoch,
  });
}

/**
 * Kernel modules that the distribution does not compile: signed, packed and indexed.
 * Step "modules" has the outputs `tree`, files for the image's root, and `modules`, the list of them (attest/formats/kernel-modules.ts).
 */
export function modulesSteps(inputs: ModulesInputs): readonly ExecStep[] {
  const { source, dbCertificate, dbKey, sourceDateEpoch } = inputs;
  const sign = programStep({
    id: "modules",
    title: "signed kernel modules",
    program: "kernel-modules",
    tools: moduleTools,
    inputs: {
      "/in/root": imageRoot,
      "/in/built": outputOf("modules.build", "built"),
      "/in/patches": { kind: "source", path: source.patches },
      "/in/db.crt": dbCertificate,
    },
    secrets: { "/secrets/db.key": dbKey },
    flags: {
      root: "/in/root",
      built: "/in/built",
      patches: "/in/patches",
      package: source.package,
      "package-version": source.version,
      "db-crt": "/in/db.crt",
      "db-key": "/secrets/db.key",
      out: "/out",
    },
    outputs: { tree: directory("/out/tree"), modules: file("/out/modules.json") },
    sourceDateEpoch,
  });
  return [buildStep(inputs), sign];
}
