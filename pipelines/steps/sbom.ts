import type { ExecStep, Input, OutputRef } from "../step.ts";
import { file, outputOf, programStep } from "./exec.ts";
import { toolRoot } from "./root.ts";
import { overlayInputs, overlayPaths, overlaySources } from "./tree-inputs.ts";

interface Common {
  /** Version of CycloneDX. */
  readonly cycloneDx: "1.6" | "1.7";
  readonly sourceDateEpoch: number;
}

interface TreeSbom extends Common {
  readonly id: string;
  readonly title: string;
  readonly inputs: Readonly<Record<string, Input>>;
  readonly flags: Readonly<Record<string, string>>;
}

/** A CycloneDX document, in JSON and XML, in which every file of a tree belongs to a component. */
function treeSbomStep({ flags, cycloneDx, ...spec }: TreeSbom): ExecStep {
  return programStep({
    ...spec,
    program: "sbom-image",
    tools: toolRoot,
    privileges: "tree",
    flags: { ...flags, cyclonedx: cycloneDx, out: "/out" },
    outputs: { sbom: file("/out/image.cdx.json"), xml: file("/out/image.cdx.xml") },
  });
}

const serviceSboms = (services: readonly string[]): Record<string, Input> =>
  Object.fromEntries(services.map((name) => [`/in/services/${name}.cdx.json`, outputOf(`sbom.${name}`, "sbom")]));

/** What can compute in the image, for an image with a runtime. */
const backendsInput = (ref: OutputRef | undefined): Record<string, Input> =>
  ref === undefined ? {} : { "/in/gpu-backends.json": ref };
const backendsFlag = (ref: OutputRef | undefined): Record<string, string> =>
  ref === undefined ? {} : { backends: "/in/gpu-backends.json" };

export interface ImageSbomInputs extends Common {
  readonly lock: Input;
  readonly overlays: readonly string[];
  readonly services: readonly string[];
  /** gpu-backends.json, when the image has a runtime. */
  readonly gpuBackends?: OutputRef;
}

/** Of a sealed image, from its packages and the lock. */
export function imageSbomStep({ lock, overlays, services, gpuBackends, ...common }: ImageSbomInputs): ExecStep {
  return treeSbomStep({
    ...common,
    id: "sbom.image",
    title: "SBOM of the image",
    inputs: {
      "/in/root": outputOf("tree", "tree"),
      "/in/dpkg": outputOf("tree", "dpkg"),
      "/in/lock.json": lock,
      ...overlaySources(overlays),
      ...serviceSboms(services),
      ...backendsInput(gpuBackends),
    },
    flags: {
      root: "/in/root",
      dpkg: "/in/dpkg",
      lock: "/in/lock.json",
      services: "/in/services",
      ...backendsFlag(gpuBackends),
      overlays: overlayPaths(overlays),
    },
  });
}

export interface ExtensionSbomInputs extends Common {
  readonly name: string;
  readonly lock: Input;
  readonly gpuBackends?: OutputRef;
}

/** Of the tree of a system extension: its packages and the backend that it carries. */
export function extensionSbomStep({ name, lock, gpuBackends, ...common }: ExtensionSbomInputs): ExecStep {
  return treeSbomStep({
    ...common,
    id: `sbom.extension.${name}`,
    title: `SBOM of the extension ${name}`,
    inputs: {
      "/in/root": outputOf(`extension.${name}`, "tree"),
      "/in/dpkg": outputOf(`extension.${name}`, "dpkg"),
      "/in/image": outputOf("tree", "tree"),
      "/in/lock.json": lock,
      ...backendsInput(gpuBackends),
    },
    flags: {
      extension: name,
      root: "/in/root",
      "os-release": "/in/image/usr/lib/os-release",
      dpkg: "/in/dpkg",
      lock: "/in/lock.json",
      services: "/in/services",
      ...backendsFlag(gpuBackends),
    },
  });
}

export interface BootcSbomInputs extends Common {
  readonly overlays: readonly Input[];
  readonly services: readonly string[];
}

/** Of an image on a container base, from its own package database. */
export function bootcSbomStep({ overlays, services, ...common }: BootcSbomInputs): ExecStep {
  return treeSbomStep({
    ...common,
    id: "sbom.image",
    title: "SBOM of the image",
    inputs: {
      "/in/root": outputOf("tree", "tree"),
      "/in/rpmdb": outputOf("tree", "rpmdb"),
      "/in/base.json": outputOf("base", "facts"),
      ...overlayInputs(overlays),
      ...serviceSboms(services),
    },
    flags: {
      root: "/in/root",
      rpmdb: "/in/rpmdb",
      "base-files": "/in/base.json",
      services: "/in/services",
      overlays: overlayPaths(overlays),
    },
  });
}
