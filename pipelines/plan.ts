import { createHash } from "node:crypto";
import { canonicalJson } from "@secai/formats/canonical-json";
import type { Designation } from "@secai/formats/designation";
import { type Sha256, sha256 } from "@secai/formats/digest";
import { PipelineError } from "./errors.ts";
import { architectureOf, architecturesOf, extensionRoot, type Lock, lockedRoot, type RootName } from "./lock/lock.ts";
import { type GpuPlan, planGpu } from "./plan-gpu.ts";
import type { DebianRecipe, OutputKind, Recipe } from "./recipe/recipe.ts";
import type { OutputRef, Plan, Step } from "./step.ts";
import { bundleStep, serviceSbomStep } from "./steps/bundle.ts";
import { type NpmLock, npmClosure } from "./steps/closure.ts";
import { outputOf } from "./steps/exec.ts";
import { extensionStep } from "./steps/extension.ts";
import { type BootKeys, baselineStep, diskStep, initrdStep, measureStep, sealStep, treeStep, ukiStep } from "./steps/image.ts";
import { isoStep, ociStep, ovaStep } from "./steps/media.ts";
import { fetchStep, rootStep, toolRoot } from "./steps/root.ts";
import { extensionSbomStep, imageSbomStep } from "./steps/sbom.ts";

/** Public halves of the keys as the plan sees them; private ones stay with the engine. */
export interface PlanKeys {
  readonly publicFiles: Readonly<Record<"PK.crt" | "KEK.crt" | "db.crt" | "pcr.pub" | "guid", string>>;
  identity(name: "db.key" | "pcr.key"): Sha256;
}

export interface PlanInputs {
  readonly recipe: DebianRecipe;
  readonly lock: Lock;
  readonly npm: NpmLock;
  readonly keys: PlanKeys;
  /** Seconds since 1970. */
  readonly sourceDateEpoch: number;
  /** Whom the measurements say the image is for; "dev" when nobody decides. */
  readonly designation?: Designation;
}

/** Programs that units call without the service runner: bundle name and entry file. */
export const imagePrograms = {
  "secai-run": { entry: "services-src/kit/programs/secai-run.ts", workspace: "services-src/kit" },
  "secai-evidence": { entry: "attest/verify/evidence.ts", workspace: "attest/verify" },
  "secai-verify": { entry: "attest/verify/main.ts", workspace: "attest/verify" },
  "secai-cli": { entry: "services-src/appliance-cli/programs/main.ts", workspace: "services-src/appliance-cli" },
  "secai-enrol": { entry: "services-src/runtime-attestor/programs/enrol.ts", workspace: "services-src/runtime-attestor" },
  "vault-ctl": { entry: "services-src/vault-control/programs/vault-ctl.ts", workspace: "services-src/vault-control" },
  "secai-gpu-detect": { entry: "services-src/gpu/programs/detect.ts", workspace: "services-src/gpu" },
  "secai-gpu-probe": { entry: "services-src/gpu/programs/probe.ts", workspace: "services-src/gpu" },
} as const;

/** What the runner starts beside the services of the recipe, which have a folder of their own each. */
export const programServices = {
  "attestation-gate": { entry: "services-src/runtime-attestor/programs/gate.ts", workspace: "services-src/runtime-attestor" },
  credentials: { entry: "services-src/kit/programs/credentials.ts", workspace: "services-src/kit" },
  extensions: { entry: "services-src/kit/programs/extensions.ts", workspace: "services-src/kit" },
  "vault-broker": { entry: "services-src/vault-control/programs/broker.ts", workspace: "services-src/vault-control" },
} as const;

const text = (content: string) => ({ kind: "text", content }) as const;

/** A stable UUID for everything on a disk or medium that needs one (RFC 9562, version 8). */
function seedOf(recipe: Pick<Recipe, "id" | "version">, what: "disk" | "installer"): string {
  const hex = createHash("sha256").update(`secai ${what} ${recipe.id} ${recipe.version}`).digest("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

/** Steps that make the root file system "machine": QEMU, firmware, a software TPM and the peers' tools that tests compare with. */
export function machineRootSteps({
  recipe,
  lock,
  sourceDateEpoch,
}: Pick<PlanInputs, "recipe" | "lock" | "sourceDateEpoch">): Step[] {
  return [
    fetchStep("machine", lock.roots.machine),
    rootStep({
      root: "machine",
      title: "tool root for machines",
      suite: recipe.base.release,
      architecture: architectureOf(recipe.base, "machine"),
      tools: { kind: "host" },
      docs: "drop",
      how: "unpacked",
      sourceDateEpoch,
    }),
  ];
}

export const machineRoot = outputOf("root.machine", "root");

function rootSteps({ recipe, lock, sourceDateEpoch }: PlanInputs): Step[] {
  const common = (root: RootName) =>
    ({
      root,
      suite: recipe.base.release,
      architecture: architectureOf(recipe.base, root),
      docs: "drop",
      sourceDateEpoch,
    }) as const;
  const how = architecturesOf(recipe.base).length === 1 ? "installed" : "emulated";
  return [
    fetchStep("build", lock.roots.build),
    fetchStep("image", lock.roots.image),
    rootStep({ ...common("build"), title: "tool root for builds", tools: { kind: "host" }, how: "unpacked" }),
    rootStep({ ...common("image"), title: "distribution root", tools: toolRoot, how }),
  ];
}

/** Programs of an image by the name of their bundle: entry file, and the workspace whose dependencies they may use. */
export type Programs = Readonly<Record<string, { readonly entry: string; readonly workspace: string }>>;

/** @param more programs beside those of every image */
export function bundleSteps(
  {
    recipe,
    npm,
    sourceDateEpoch,
  }: Pick<PlanInputs, "npm" | "sourceDateEpoch"> & { readonly recipe: Pick<Recipe, "version" | "services"> },
  more: Programs = {},
): Step[] {
  const bundle = (name: string, entry: string, workspace: string) => {
    const { workspaces, modules } = npmClosure(npm, workspace);
    const own = { [`@secai/${workspace.slice(workspace.lastIndexOf("/") + 1)}`]: workspace, ...workspaces };
    return [
      bundleStep({ name, entry, workspaces: own, modules, sourceDateEpoch }),
      serviceSbomStep({ name, version: recipe.version, workspaces: own, modules, sourceDateEpoch }),
    ];
  };
  return [
    ...recipe.services.flatMap((name) => bundle(name, `services-src/${name}/main.ts`, `services-src/${name}`)),
    ...Object.entries({ ...programServices, ...imagePrograms, ...more }).flatMap(([name, { entry, workspace }]) =>
      bundle(name, entry, workspace),
    ),
  ];
}

/** Every bundle of the image: each has an SBOM and its file in the release. */
export function bundleNames(recipe: Recipe): readonly string[] {
  return [...recipe.services, ...Object.keys(programServices), ...Object.keys(imagePrograms)];
}

/** Where each bundle lies in the image, and the step that makes it. */
export function bundlePaths(recipe: Recipe): readonly (readonly [string, string])[] {
  const path = (name: string) =>
    name in imagePrograms ? `/usr/libexec/secure-ai/${name}.mjs` : `/usr/lib/secure-ai/services/${name}.mjs`;
  return bundleNames(recipe).map((name) => [path(name), `bundle.${name}`]);
}

/** Steps of the system extensions. `backends`: folders with a backend's libraries, for the extension that carries it. */
function extensionSteps({ recipe, lock, sourceDateEpoch }: PlanInputs, backends: GpuPlan["extensionBackends"]): Step[] {
  const { version, overlays, base, remove } = recipe;
  const common = { version, overlays, architecture: base.architecture, removePaths: remove.paths, sourceDateEpoch };
  return recipe.extensions.flatMap((extension) => [
    fetchStep(extensionRoot(extension.name), lockedRoot(lock, extensionRoot(extension.name))),
    extensionStep({ ...common, extension, backends: backends[extension.name] ?? {} }),
  ]);
}

function bootKeys({ publicFiles, identity }: PlanKeys): BootKeys {
  return {
    dbCertificate: text(publicFiles["db.crt"]),
    pcrPublicKey: text(publicFiles["pcr.pub"]),
    dbKey: { name: "db.key", identity: identity("db.key") },
    pcrKey: { name: "pcr.key", identity: identity("pcr.key") },
  };
}

function imageSteps({ recipe, lock, keys, sourceDateEpoch, designation }: PlanInputs, gpu: GpuPlan): Step[] {
  const common = { version: recipe.version, sourceDateEpoch };
  const gpuParts = gpu.gpuBackends === undefined ? {} : { gpuBackends: gpu.gpuBackends };
  const sbom = { ...common, ...gpuParts, lock: text(canonicalJson(lock)), cycloneDx: recipe.cycloneDx ?? "1.6" } as const;
  const { publicFiles } = keys;
  const certificates = {
    "PK.crt": text(publicFiles["PK.crt"]),
    "KEK.crt": text(publicFiles["KEK.crt"]),
    "db.crt": text(publicFiles["db.crt"]),
    guid: text(publicFiles.guid),
  };
  return [
    treeStep({
      ...common,
      imageId: "secai-os",
      overlays: recipe.overlays,
      remove: recipe.remove,
      services: [...recipe.services, ...Object.keys(programServices)],
      programs: Object.keys(imagePrograms),
      extensions: recipe.extensions,
      ...gpuParts,
      additions: gpu.additions,
    }),
    initrdStep({
      ...common,
      list: "image/initrd.files",
      overlays: recipe.overlays,
      initrdOverlay: recipe.initrd.overlay,
      modules: recipe.initrd.modules,
    }),
    sealStep(common),
    ukiStep({ ...common, kernelArguments: recipe.kernelArguments, keys: bootKeys(keys) }),
    measureStep({ ...common, designation: designation ?? "dev", certificates }),
    baselineStep({ ...common, kernelArguments: recipe.kernelArguments, extensions: recipe.extensions }),
    diskStep({ ...common, seed: seedOf(recipe, "disk"), ...recipe.disk, extensions: recipe.extensions }),
    imageSbomStep({ ...sbom, overlays: recipe.overlays, services: bundleNames(recipe) }),
    ...recipe.extensions.map(({ name }) => extensionSbomStep({ ...sbom, name })),
  ];
}

function installerStep(
  { version, overlays, kernelArguments, disk, ...recipe }: DebianRecipe,
  keys: PlanKeys,
  sourceDateEpoch: number,
): Step {
  return isoStep({
    ...{ version, overlays, kernelArguments, sourceDateEpoch, keys: bootKeys(keys) },
    list: "image/installer.files",
    installerOverlay: "image/installer",
    seed: seedOf({ ...recipe, version }, "installer"),
    minimumGiB: disk.imageGiB,
  });
}

/**
 * The steps of a recipe, in an order in which they can run.
 * @throws PipelineError PLAN_UNSUPPORTED when the recipe asks for a GPU backend or an output that this version cannot build
 */
export function planSteps(inputs: PlanInputs): readonly Step[] {
  refuse("outputs", inputs.recipe.outputs, Object.keys(media));
  const { recipe, lock, sourceDateEpoch } = inputs;
  const gpu = planGpu({ recipe, lock, keys: bootKeys(inputs.keys), sourceDateEpoch });
  return [
    ...rootSteps(inputs),
    ...bundleSteps(inputs),
    ...gpu.steps,
    ...extensionSteps(inputs, gpu.extensionBackends),
    ...gpu.declaration,
    ...imageSteps(inputs, gpu),
    ...mediaSteps(inputs),
  ];
}

/** Files of the release that each output of a recipe becomes; see file-names.ts for the braces. */
const media: Readonly<Record<OutputKind, Readonly<Record<string, OutputRef>>>> = {
  "raw.zst": { "disk.raw.zst": outputOf("disk", "raw") },
  qcow2: { "disk.qcow2": outputOf("disk", "qcow2") },
  ova: { "disk.ova": outputOf("ova", "ova") },
  iso: { "installer.iso": outputOf("iso", "iso") },
  oci: {
    "oci/oci-layout": outputOf("oci", "layout"),
    "oci/index.json": outputOf("oci", "index"),
    "oci/blobs/sha256/{manifest}": outputOf("oci", "manifest"),
    "oci/blobs/sha256/{config}": outputOf("oci", "config"),
    "oci/blobs/sha256/{layer}": outputOf("oci", "layer"),
  },
};

/** The project's own licence, and those of the distribution's packages, which the SBOM names one by one. */
const IMAGE_LICENSES = "Apache-2.0 AND LicenseRef-distribution";

/** What packs the finished image once more, for those who want it that way. */
function mediaSteps({ recipe, keys, sourceDateEpoch }: PlanInputs): Step[] {
  const common = { title: recipe.title, version: recipe.version, sourceDateEpoch };
  const wanted = new Set(recipe.outputs);
  return [
    ...(wanted.has("oci") ? [ociStep({ ...common, licenses: IMAGE_LICENSES })] : []),
    ...(wanted.has("ova") ? [ovaStep({ ...common, name: "secai-os", cpus: 4, memoryMiB: 8192 })] : []),
    ...(wanted.has("iso") ? [installerStep(recipe, keys, sourceDateEpoch)] : []),
  ];
}

/** @throws PipelineError PLAN_UNSUPPORTED */
export function refuse(what: string, wanted: readonly string[], known: readonly string[]): void {
  const unknown = wanted.filter((name) => !known.includes(name));
  if (unknown.length > 0)
    throw new PipelineError("PLAN_UNSUPPORTED", { expected: `${what} among ${known.join(", ")}`, actual: unknown.join(", ") });
}

function releaseOutputs(recipe: DebianRecipe): Record<string, OutputRef> {
  const bundles = bundleNames(recipe);
  return {
    ...Object.assign({}, ...recipe.outputs.map((kind) => media[kind])),
    "uki.efi": outputOf("uki", "uki"),
    "bootx64.efi": outputOf("uki", "bootloader"),
    ROOT_HASH: outputOf("seal", "rootHash"),
    "measurements.json": outputOf("measure", "measurements"),
    "keylime/measured-boot.json": outputOf("measure", "keylime"),
    "baseline.json": outputOf("baseline", "baseline"),
    "sbom/image.cdx.json": outputOf("sbom.image", "sbom"),
    "sbom/image.cdx.xml": outputOf("sbom.image", "xml"),
    ...Object.fromEntries(
      recipe.extensions.map(({ name }) => [`sbom/extension.${name}.cdx.json`, outputOf(`sbom.extension.${name}`, "sbom")]),
    ),
    ...(recipe.npm.length === 0 ? {} : { "gpu-backends.json": outputOf("gpu-backends", "declaration") }),
    ...Object.fromEntries(bundles.map((name) => [`sbom/${name}.cdx.json`, outputOf(`sbom.${name}`, "sbom")])),
    ...Object.fromEntries(bundles.map((name) => [`services/${name}.mjs`, outputOf(`bundle.${name}`, "bundle")])),
  };
}

function lookUp(what: string, names: readonly string[], digests: Readonly<Record<string, Sha256>>): Record<string, Sha256> {
  const found: Record<string, Sha256> = {};
  for (const name of names) {
    const digest = digests[name];
    if (digest === undefined)
      throw new PipelineError("PLAN_UNRESOLVED", { expected: `a digest of ${what} ${name}`, actual: "none" });
    found[name] = digest;
  }
  return found;
}

export interface SourceDigests {
  readonly files: Readonly<Record<string, Sha256>>;
  readonly programs: Readonly<Record<string, Sha256>>;
}

/**
 * A plan: pure, so that the same recipe, lock, keys and sources give the same plan on any machine.
 * @throws PipelineError PLAN_UNSUPPORTED, PLAN_UNRESOLVED
 */
export function plan(inputs: PlanInputs, sources: SourceDigests, steps: readonly Step[] = planSteps(inputs)): Plan {
  return composePlan(inputs, sources, steps, releaseOutputs(inputs.recipe));
}

/** What a plan of any kind of recipe consists of. @throws PipelineError PLAN_UNRESOLVED */
export function composePlan(
  { recipe, lock, sourceDateEpoch }: { readonly recipe: Recipe; readonly lock: object; readonly sourceDateEpoch: number },
  sources: SourceDigests,
  steps: readonly Step[],
  outputs: Readonly<Record<string, OutputRef>>,
): Plan {
  return {
    recipe: {
      id: recipe.id,
      version: recipe.version,
      digest: sha256(canonicalJson(recipe)),
      lockDigest: sha256(canonicalJson(lock)),
    },
    sourceDateEpoch,
    sources: lookUp("source", Object.keys(sources.files), sources.files),
    programs: lookUp("program", Object.keys(sources.programs), sources.programs),
    steps,
    outputs,
  };
}
