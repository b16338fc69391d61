import { basename } from "node:path";
import { canonicalJson } from "@secai/formats/canonical-json";
import type { LockedImage, LockedRpm } from "../lock/bootc-lock.ts";
import type { BootcRecipe } from "../recipe/recipe.ts";
import type { ExecStep, FetchStep, Input, OutputRef } from "../step.ts";
import { directory, file, outputOf, programStep } from "./exec.ts";
import { toolRoot } from "./root.ts";
import { bundleInputs, overlayInputs, overlayPaths } from "./tree-inputs.ts";

// Steps of an image on a container base. Each runs one program of pipelines/programs/silverblue in the tool root; none has a network.

interface Common {
  readonly sourceDateEpoch: number;
}

const text = (value: object): Input => ({ kind: "text", content: `${canonicalJson(value)}\n` });

/** "ghcr.io/owner/name" -> ["ghcr.io", "owner/name"]: the archive of a fetch step, and the path below it. */
export function splitRepository(repository: string): readonly [registry: string, path: string] {
  const slash = repository.indexOf("/");
  return [repository.slice(0, slash), repository.slice(slash + 1)];
}

/** Every blob of an image by digest, named by its hex digits (distribution-spec v1.1, "Pulling blobs" and "Pulling manifests"). */
export function fetchImageStep({ name, repository, blobs }: LockedImage): FetchStep {
  const [archive, path] = splitRepository(repository);
  const files = blobs.map(({ kind, sha256, size }) => ({
    ...{ name: sha256, archive, size, sha256 },
    path: `${path}/${kind === "manifest" ? "manifests" : "blobs"}/sha256:${sha256}`,
  }));
  return { kind: "fetch", id: `fetch.${name}`, network: "fetch", files };
}

export function fetchRpmsStep(rpms: readonly LockedRpm[]): FetchStep {
  const files = rpms.map(({ repository, path, size, sha256 }) => ({
    ...{ name: basename(path), archive: repository, path, size, sha256 },
  }));
  return { kind: "fetch", id: "fetch.rpms", network: "fetch", files };
}

/** The platform of a recipe's architecture, as image indexes name it. */
const platformOf = (architecture: string): string => `linux/${architecture}`;

export interface UnpackInputs extends Common {
  readonly id: string;
  readonly title: string;
  readonly image: LockedImage;
  readonly architecture: string;
}

/** A container image as a tree: every digest checked, layers over one another. */
export function unpackStep({ id, title, image, architecture, sourceDateEpoch }: UnpackInputs): ExecStep {
  return programStep({
    ...{ id, title, sourceDateEpoch },
    program: "silverblue/base",
    tools: toolRoot,
    privileges: "tree",
    inputs: { "/in/image": { kind: "fetched", step: `fetch.${image.name}` } },
    flags: {
      image: "/in/image",
      digest: image.digest,
      platform: platformOf(architecture),
      out: "/out/root",
      facts: "/out/base.json",
    },
    outputs: { root: directory("/out/root"), facts: file("/out/base.json") },
  });
}

export interface PackagesInputs extends Common {
  readonly rpms: readonly LockedRpm[];
  readonly remove: BootcRecipe["remove"];
}

/** Exactly the locked RPMs installed, exactly the named ones removed. */
export function packagesStep({ rpms, remove, sourceDateEpoch }: PackagesInputs): ExecStep {
  const install = rpms.map(({ name, epoch, version, release, arch, path, size, sha256 }) => ({
    ...{ name, epoch, version, release, arch, size, sha256 },
    file: basename(path),
  }));
  return programStep({
    id: "packages",
    title: "packages of the lock",
    program: "silverblue/packages",
    tools: toolRoot,
    privileges: "tree",
    inputs: {
      "/in/root": outputOf("base", "root"),
      "/in/rpms": { kind: "fetched", step: "fetch.rpms" },
      "/in/transaction.json": text({ schema: 1, install, remove: remove.packages, absentCommands: remove.commands }),
    },
    flags: {
      root: "/in/root",
      rpms: "/in/rpms",
      transaction: "/in/transaction.json",
      out: "/out/root",
      report: "/out/packages.json",
    },
    outputs: { root: directory("/out/root"), report: file("/out/packages.json") },
    sourceDateEpoch,
  });
}

export interface ModulesInputs extends Common {
  readonly image: LockedImage;
  /** Certificate in the base image, absolute. */
  readonly certificate: string;
}

/** Prebuilt kernel modules as an overlay: for the root's kernel and by the expected signer, or none. */
export function modulesStep({ image, certificate, sourceDateEpoch }: ModulesInputs): ExecStep {
  return programStep({
    id: image.name,
    title: `kernel modules ${image.name.slice("modules.".length)}`,
    program: "silverblue/modules",
    tools: toolRoot,
    privileges: "tree",
    inputs: {
      "/in/root": outputOf("packages", "root"),
      "/in/image": outputOf(`${image.name}.image`, "root"),
      "/in/modules.json": text({ schema: 1, packages: image.packages }),
    },
    flags: {
      root: "/in/root",
      image: "/in/image",
      modules: "/in/modules.json",
      signer: `/in/root${certificate}`,
      out: "/out/overlay",
      report: "/out/modules.json",
    },
    outputs: { overlay: directory("/out/overlay"), report: file("/out/modules.json") },
    sourceDateEpoch,
  });
}

export interface PolicyInputs extends Common {
  readonly repository: string;
  /** Public half of the key that signs releases, PEM. */
  readonly releaseKey: string;
}

/** Which container images the machine accepts: ours, signed by our key, and no others. */
export function policyStep({ repository, releaseKey, sourceDateEpoch }: PolicyInputs): ExecStep {
  return programStep({
    id: "policy",
    title: "policy for container images",
    program: "silverblue/policy",
    tools: toolRoot,
    inputs: { "/in/release.pub": { kind: "text", content: releaseKey } },
    flags: { repository, key: "/in/release.pub", out: "/out/overlay" },
    outputs: { overlay: directory("/out/overlay") },
    sourceDateEpoch,
  });
}

const machineNames: Readonly<Record<string, string>> = { amd64: "x86_64", arm64: "aarch64" };

/** An architecture as the kernel and RPM name it. */
export const machineName = (architecture: string): string => machineNames[architecture] ?? architecture;

export interface KernelArgumentsInputs extends Common {
  readonly kernelArguments: readonly string[];
  readonly architecture: string;
}

export function kernelArgumentsStep({ kernelArguments, architecture, sourceDateEpoch }: KernelArgumentsInputs): ExecStep {
  return programStep({
    id: "kernel-arguments",
    title: "kernel arguments",
    program: "silverblue/kernel-arguments",
    tools: toolRoot,
    flags: {
      arguments: kernelArguments.join(" "),
      architecture: machineName(architecture),
      out: "/out/overlay",
    },
    outputs: { overlay: directory("/out/overlay") },
    sourceDateEpoch,
  });
}

export interface FinalTreeInputs extends Common {
  readonly version: string;
  readonly imageId: string;
  readonly repository: string;
  readonly units: BootcRecipe["units"];
  /** In the order in which they are laid over the root. */
  readonly overlays: readonly Input[];
  readonly services: readonly string[];
  readonly programs: readonly string[];
}

/** The appliance's tree: packages, overlays, services, presets; compared with what the recipe demands of units and policy. */
export function finalTreeStep(inputs: FinalTreeInputs): ExecStep {
  const { version, imageId, repository, units, overlays, services, programs, sourceDateEpoch } = inputs;
  return programStep({
    id: "tree",
    title: "appliance tree",
    program: "silverblue/tree",
    tools: toolRoot,
    privileges: "tree",
    inputs: {
      "/in/root": outputOf("packages", "root"),
      ...overlayInputs(overlays),
      ...bundleInputs("services", services),
      ...bundleInputs("programs", programs),
      "/in/units.json": text({ schema: 1, ...units }),
    },
    flags: {
      root: "/in/root",
      overlays: overlayPaths(overlays),
      services: "/in/services",
      programs: "/in/programs",
      units: "/in/units.json",
      repository,
      "image-id": imageId,
      version,
      out: "/out/tree",
      rpmdb: "/out/rpmdb",
      report: "/out/tree.json",
    },
    outputs: { tree: directory("/out/tree"), rpmdb: directory("/out/rpmdb"), report: file("/out/tree.json") },
    sourceDateEpoch,
  });
}

/** Rules without which an image does not install or boot: by bootc itself where the image has it. */
export function lintStep({ sourceDateEpoch }: Common): ExecStep {
  return programStep({
    id: "lint",
    title: "rules of bootable containers",
    program: "silverblue/lint",
    tools: toolRoot,
    privileges: "tree",
    inputs: { "/in/root": outputOf("tree", "tree") },
    flags: { root: "/in/root", bootc: "auto", report: "/out/lint.json" },
    outputs: { report: file("/out/lint.json") },
    sourceDateEpoch,
  });
}

export interface ImageInputs extends Common {
  readonly base: LockedImage;
  readonly architecture: string;
  readonly title: string;
  readonly version: string;
  /** Commit of this repository, 40 hex digits. */
  readonly revision: string;
  /** SPDX expression. */
  readonly licenses: string;
}

/** The finished image as an OCI layout: the base's layers byte for byte, ours normalised on top. */
export function imageStep({ base, architecture, title, version, revision, licenses, sourceDateEpoch }: ImageInputs): ExecStep {
  return programStep({
    id: "image",
    title: "bootable container",
    program: "silverblue/image",
    tools: toolRoot,
    privileges: "tree",
    inputs: {
      "/in/image": { kind: "fetched", step: "fetch.base" },
      "/in/base": outputOf("base", "root"),
      "/in/packages": outputOf("packages", "root"),
      "/in/tree": outputOf("tree", "tree"),
      // No image leaves before the rules were seen to hold.
      "/in/lint.json": outputOf("lint", "report"),
    },
    flags: {
      image: "/in/image",
      digest: base.digest,
      platform: platformOf(architecture),
      ...{ base: "/in/base", packages: "/in/packages", tree: "/in/tree" },
      ...{ title, version, revision, licenses },
      out: "/out/oci",
      report: "/out/layers.json",
    },
    outputs: { layout: directory("/out/oci"), report: file("/out/layers.json") },
    sourceDateEpoch,
  });
}

export interface ImageDiskInputs extends Common {
  readonly version: string;
  readonly rootFileSystem: BootcRecipe["imageBuilder"]["rootFileSystem"];
  /** The unpacked image builder. */
  readonly tools: OutputRef;
  readonly formats: readonly ("qcow2" | "raw.zst")[];
}

/** Disk images of the finished container by the image builder, which is the tool root of this step. It makes devices and mounts them. */
export function imageDiskStep({ version, rootFileSystem, tools, formats, sourceDateEpoch }: ImageDiskInputs): ExecStep {
  const outputs = { qcow2: file("/out/disk.qcow2"), "raw.zst": file("/out/disk.raw.zst") } as const;
  return programStep({
    id: "disk",
    title: "disk images",
    program: "bootc-disk",
    tools,
    privileges: "machine",
    inputs: { "/in/image": outputOf("image", "layout") },
    flags: {
      image: "/in/image",
      name: `localhost/secai-os:${version}`,
      "root-file-system": rootFileSystem,
      formats: formats.join(","),
      out: "/out",
    },
    outputs: Object.fromEntries(formats.map((format) => [format === "raw.zst" ? "raw" : format, outputs[format]])),
    sourceDateEpoch,
  });
}
