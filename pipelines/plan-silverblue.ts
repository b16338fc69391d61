import { type BootcLock, bootcLockDate, lockedImage } from "./lock/bootc-lock.ts";
import { lockDate, lockedRoot } from "./lock/lock.ts";
import { bundleNames, bundleSteps, imagePrograms, programServices, refuse } from "./plan.ts";
import type { BootcRecipe, OutputKind } from "./recipe/recipe.ts";
import type { Input, OutputRef, Step } from "./step.ts";
import type { NpmLock } from "./steps/closure.ts";
import { outputOf } from "./steps/exec.ts";
import { fetchStep, rootStep } from "./steps/root.ts";
import { bootcSbomStep } from "./steps/sbom.ts";
import {
  fetchImageStep,
  fetchRpmsStep,
  finalTreeStep,
  imageDiskStep,
  imageStep,
  kernelArgumentsStep,
  lintStep,
  modulesStep,
  packagesStep,
  policyStep,
  unpackStep,
} from "./steps/silverblue.ts";

export interface BootcPlanInputs {
  readonly recipe: BootcRecipe;
  /** May have unresolved parts: the plan is a preview then, that nothing can be built from. */
  readonly lock: BootcLock;
  readonly npm: NpmLock;
  /** Public half of the key that signs releases, PEM. */
  readonly releaseKey: string;
  /** Commit of this repository, 40 hex digits. */
  readonly revision: string;
  /** Seconds since 1970. */
  readonly sourceDateEpoch: number;
}

/** The project's own licence, and those of the distribution's packages, which the SBOM names one by one. */
const IMAGE_LICENSES = "Apache-2.0 AND LicenseRef-distribution";

/** What only such an image calls: updates and the way back, through bootc. */
export const containerPrograms = {
  "secai-update": { entry: "services-src/kit/programs/secai-update.ts", workspace: "services-src/kit" },
} as const;

const allBundles = (recipe: BootcRecipe): readonly string[] => [...bundleNames(recipe), ...Object.keys(containerPrograms)];

/** Overlay of the variant that upstream calls experimental. */
const SEALED_OVERLAY = "image/silverblue-sealed";

/** When the image was made, for all its timestamps: the newest of what it is made of; of a preview the newest of its tools. */
export function bootcEpoch(lock: BootcLock): number {
  return Math.floor(bootcLockDate(lock) ?? (lock.archives.length === 0 ? 0 : lockDate(lock)));
}

function toolSteps({ recipe: { toolBase }, lock, sourceDateEpoch }: BootcPlanInputs): Step[] {
  const packages = lock.roots.build === undefined ? [] : lockedRoot(lock, "build");
  const { release, architecture } = toolBase;
  return [
    fetchStep("build", packages),
    rootStep({
      ...{ suite: release, architecture, sourceDateEpoch },
      root: "build",
      title: "tool root for builds",
      tools: { kind: "host" },
      docs: "drop",
      how: "unpacked",
    }),
  ];
}

function baseSteps({ recipe, lock, sourceDateEpoch }: BootcPlanInputs): Step[] {
  const base = lockedImage(lock, "base");
  const { architecture } = recipe.base;
  return [
    fetchImageStep(base),
    unpackStep({ id: "base", title: "base image", image: base, architecture, sourceDateEpoch }),
    fetchRpmsStep(lock.rpms),
    packagesStep({ rpms: lock.rpms, remove: recipe.remove, sourceDateEpoch }),
  ];
}

function moduleSteps({ recipe, lock, sourceDateEpoch }: BootcPlanInputs): Step[] {
  const { architecture } = recipe.base;
  return recipe.modules.flatMap(({ name, certificate }) => {
    const image = lockedImage(lock, `modules.${name}`);
    const title = `image with kernel modules ${name}`;
    return [
      fetchImageStep(image),
      unpackStep({ id: `${image.name}.image`, title, image, architecture, sourceDateEpoch }),
      modulesStep({ image, certificate, sourceDateEpoch }),
    ];
  });
}

/** In the order in which they are laid over the root; the policy and the arguments come after every folder that could bring their like. */
function overlays({ overlays, modules, sealed }: BootcRecipe): readonly Input[] {
  const source = (path: string): Input => ({ kind: "source", path });
  return [
    ...overlays.map(source),
    ...modules.map(({ name }) => outputOf(`modules.${name}`, "overlay")),
    outputOf("policy", "overlay"),
    outputOf("kernel-arguments", "overlay"),
    ...(sealed === undefined ? [] : [source(SEALED_OVERLAY)]),
  ];
}

function imageSteps({ recipe, lock, releaseKey, revision, sourceDateEpoch }: BootcPlanInputs): Step[] {
  const { title, version, repository, units, kernelArguments } = recipe;
  const { architecture } = recipe.base;
  const services = [...recipe.services, ...Object.keys(programServices)];
  const programs = Object.keys({ ...imagePrograms, ...containerPrograms });
  const laid = overlays(recipe);
  return [
    policyStep({ repository, releaseKey, sourceDateEpoch }),
    kernelArgumentsStep({ kernelArguments, architecture, sourceDateEpoch }),
    finalTreeStep({
      ...{ version, repository, units, services, programs, sourceDateEpoch },
      imageId: "secai-os",
      overlays: laid,
    }),
    lintStep({ sourceDateEpoch }),
    imageStep({
      ...{ architecture, title, version, revision, sourceDateEpoch },
      base: lockedImage(lock, "base"),
      licenses: IMAGE_LICENSES,
    }),
    bootcSbomStep({
      overlays: laid,
      services: allBundles(recipe),
      cycloneDx: recipe.cycloneDx ?? "1.6",
      sourceDateEpoch,
    }),
  ];
}

const isDisk = (kind: OutputKind): kind is "qcow2" | "raw.zst" => kind === "qcow2" || kind === "raw.zst";

function diskSteps({ recipe, lock, sourceDateEpoch }: BootcPlanInputs): Step[] {
  const formats = recipe.outputs.filter(isDisk);
  if (formats.length === 0) return [];
  const image = lockedImage(lock, "imageBuilder");
  const { version, imageBuilder, base } = recipe;
  const title = "image builder";
  return [
    fetchImageStep(image),
    unpackStep({ id: "imageBuilder", title, image, architecture: base.architecture, sourceDateEpoch }),
    imageDiskStep({
      ...{ version, formats, sourceDateEpoch },
      rootFileSystem: imageBuilder.rootFileSystem,
      tools: outputOf("imageBuilder", "root"),
    }),
  ];
}

/**
 * The steps of a recipe on a container base, in an order in which they can run.
 * @throws PipelineError PLAN_UNSUPPORTED when the recipe asks for a GPU backend that this version cannot build
 */
export function bootcPlanSteps(inputs: BootcPlanInputs): readonly Step[] {
  refuse("gpuBackends", inputs.recipe.gpuBackends, ["cpu"]);
  return [
    ...toolSteps(inputs),
    ...baseSteps(inputs),
    ...moduleSteps(inputs),
    ...bundleSteps(inputs, containerPrograms),
    ...imageSteps(inputs),
    ...diskSteps(inputs),
  ];
}

/** What a build of such a recipe puts out, by name; "oci" is a folder, an image layout. */
export function bootcOutputs(recipe: BootcRecipe): Readonly<Record<string, OutputRef>> {
  const kinds: Partial<Record<OutputKind, Readonly<Record<string, OutputRef>>>> = {
    oci: { oci: outputOf("image", "layout") },
    qcow2: { "disk.qcow2": outputOf("disk", "qcow2") },
    "raw.zst": { "disk.raw.zst": outputOf("disk", "raw") },
  };
  const bundles = allBundles(recipe);
  return {
    ...Object.assign({}, ...recipe.outputs.map((kind) => kinds[kind] ?? {})),
    "reports/base.json": outputOf("base", "facts"),
    "reports/packages.json": outputOf("packages", "report"),
    ...Object.fromEntries(
      recipe.modules.map(({ name }) => [`reports/modules.${name}.json`, outputOf(`modules.${name}`, "report")]),
    ),
    "reports/tree.json": outputOf("tree", "report"),
    "reports/lint.json": outputOf("lint", "report"),
    "reports/layers.json": outputOf("image", "report"),
    "sbom/image.cdx.json": outputOf("sbom.image", "sbom"),
    "sbom/image.cdx.xml": outputOf("sbom.image", "xml"),
    ...Object.fromEntries(bundles.map((name) => [`sbom/${name}.cdx.json`, outputOf(`sbom.${name}`, "sbom")])),
    ...Object.fromEntries(bundles.map((name) => [`services/${name}.mjs`, outputOf(`bundle.${name}`, "bundle")])),
  };
}
