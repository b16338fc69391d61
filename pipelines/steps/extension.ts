import type { RecipeExtension } from "../recipe/recipe.ts";
import type { ExecStep, Input, OutputRef } from "../step.ts";
import { directory, file, outputOf, programStep } from "./exec.ts";
import { toolRoot } from "./root.ts";
import { overlayPaths, overlaySources } from "./tree-inputs.ts";

export interface ExtensionInputs {
  readonly extension: RecipeExtension;
  readonly version: string;
  readonly architecture: string;
  readonly sourceDateEpoch: number;
  /** The image's overlays, which an extension must not touch, and what the image removes, which it has no use for either. */
  readonly overlays: readonly string[];
  readonly removePaths: readonly string[];
  /** Folders with the libraries of backends that this extension carries, by backend. */
  readonly backends: Readonly<Record<string, OutputRef>>;
}

export const extensionStepId = (name: string): string => `extension.${name}`;

/** A system extension: one sealed file for its partition, its description for the root, its tree and packages for the SBOM. */
export function extensionStep({ extension, version, architecture, sourceDateEpoch, ...inputs }: ExtensionInputs): ExecStep {
  const { name, title, remove, hardware, sizeMiB, sizeBudgetMiB } = extension;
  const backends = Object.entries(inputs.backends).map(([backend, ref]): [string, Input] => [`/in/backends/${backend}`, ref]);
  return programStep({
    id: extensionStepId(name),
    title: `system extension ${name}`,
    program: "extension",
    tools: toolRoot,
    privileges: "tree",
    inputs: {
      "/in/debs": { kind: "fetched", step: `fetch.${extensionStepId(name)}` },
      "/in/root": outputOf("root.image", "root"),
      ...overlaySources(inputs.overlays),
      ...Object.fromEntries(backends),
    },
    flags: {
      name,
      title,
      version,
      debs: "/in/debs",
      root: "/in/root",
      overlays: overlayPaths(inputs.overlays),
      backends: backends.length === 0 ? "" : "/in/backends",
      remove: [...inputs.removePaths, ...remove.paths].join(","),
      architecture,
      "pci-classes": hardware.pciClasses.join(","),
      "pci-vendors": hardware.pciVendors.join(","),
      "size-mib": String(sizeMiB),
      "budget-mib": String(sizeBudgetMiB),
      out: "/out",
    },
    outputs: {
      image: file("/out/image"),
      rootHash: file("/out/ROOT_HASH"),
      description: file("/out/description.json"),
      tree: directory("/out/tree"),
      dpkg: directory("/out/dpkg"),
    },
    sourceDateEpoch,
  });
}
