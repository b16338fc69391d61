import type { ExecStep, Input, OutputRef, Secret } from "../step.ts";
import { directory, file, outputOf, programStep } from "./exec.ts";
import { toolRoot } from "./root.ts";
import { bundleInputs, overlayPaths, overlaySources } from "./tree-inputs.ts";

interface Common {
  readonly version: string;
  readonly sourceDateEpoch: number;
}

export interface TreeInputs extends Common {
  readonly imageId: string;
  /** Repository folders laid over the root, in order. */
  readonly overlays: readonly string[];
  /** Packages purged and path globs deleted before anything of ours is laid over the root. */
  readonly remove: { readonly packages: readonly string[]; readonly paths: readonly string[] };
  /** Bundles that the service runner may start, and programs that units call directly. */
  readonly services: readonly string[];
  readonly programs: readonly string[];
  /** System extensions of the recipe: the root says by which root hash it knows each, and what its partitions are like. */
  readonly extensions: readonly ExtensionSlot[];
  /** Trees that other steps made for the root, laid over it after the overlays. */
  readonly additions: readonly OutputRef[];
  /** gpu-backends.json, when the image has a runtime. */
  readonly gpuBackends?: OutputRef;
}

/** What the root and the disk need to know of a system extension beyond its own description. */
export interface ExtensionSlot {
  readonly name: string;
  readonly sizeMiB: number;
}

const extensionStepOf = ({ name }: ExtensionSlot) => `extension.${name}`;
const extensionInputs = (extensions: readonly ExtensionSlot[], output: "description" | "image" | "tree") =>
  Object.fromEntries(
    extensions.map((one): [string, Input] => [`/in/extensions/${one.name}.${output}`, outputOf(extensionStepOf(one), output)]),
  );
/** "vulkan=192,cuda=900": names and MiB, in the order of the partitions. */
const extensionFlag = (extensions: readonly ExtensionSlot[]) =>
  extensions.map(({ name, sizeMiB }) => `${name}=${sizeMiB}`).join(",");

/** The appliance's tree: the distribution's root, overlays, services, presets; what must not ship is gone. */
export function treeStep({ imageId, overlays, remove, services, programs, extensions, ...common }: TreeInputs): ExecStep {
  const additions = common.additions.map((ref, index): [string, Input] => [`/in/additions/${index}`, ref]);
  const { version, sourceDateEpoch } = common;
  return programStep({
    id: "tree",
    title: "appliance tree",
    program: "tree",
    tools: toolRoot,
    privileges: "tree",
    inputs: {
      "/in/root": outputOf("root.image", "root"),
      ...overlaySources(overlays),
      ...bundleInputs("services", services),
      ...bundleInputs("programs", programs),
      ...extensionInputs(extensions, "description"),
      ...Object.fromEntries(additions),
      ...(common.gpuBackends === undefined ? {} : { "/in/gpu-backends.json": common.gpuBackends }),
    },
    flags: {
      root: "/in/root",
      overlays: overlayPaths(overlays),
      additions: additions.map(([path]) => path).join(","),
      "gpu-backends": common.gpuBackends === undefined ? "" : "/in/gpu-backends.json",
      services: "/in/services",
      programs: "/in/programs",
      extensions: extensionFlag(extensions),
      descriptions: "/in/extensions",
      purge: remove.packages.join(","),
      remove: remove.paths.join(","),
      "image-id": imageId,
      version,
      out: "/out/tree",
      dpkg: "/out/dpkg",
    },
    outputs: { tree: directory("/out/tree"), dpkg: directory("/out/dpkg") },
    sourceDateEpoch,
  });
}

/** erofs and dm-verity: after this step the root cannot change without another root hash. */
export function sealStep({ version, sourceDateEpoch }: Common): ExecStep {
  return programStep({
    id: "seal",
    title: "erofs and dm-verity",
    program: "seal",
    tools: toolRoot,
    privileges: "tree",
    inputs: { "/in/tree": outputOf("tree", "tree") },
    flags: { tree: "/in/tree", version, out: "/out/sealed", "root-hash": "/out/ROOT_HASH" },
    outputs: { sealed: directory("/out/sealed"), rootHash: file("/out/ROOT_HASH") },
    sourceDateEpoch,
  });
}

export interface InitrdInputs extends Common {
  /** Repository path of the list of files. */
  readonly list: string;
  /** The image's overlays, and the one of the initrd's own. */
  readonly overlays: readonly string[];
  readonly initrdOverlay: string;
  readonly modules: readonly string[];
}

/** The initrd, made from the same packages as the root; it does not change when a service does. */
export function initrdStep({ list, overlays, initrdOverlay, modules, sourceDateEpoch }: InitrdInputs): ExecStep {
  return programStep({
    id: "initrd",
    title: "initrd",
    program: "initrd",
    tools: toolRoot,
    inputs: {
      "/in/root": outputOf("root.image", "root"),
      "/in/files.list": { kind: "source", path: list },
      "/in/initrd": { kind: "source", path: initrdOverlay },
      ...overlaySources(overlays),
    },
    flags: {
      root: "/in/root",
      overlays: overlayPaths(overlays),
      list: "/in/files.list",
      "initrd-overlay": "/in/initrd",
      modules: modules.join(","),
      out: "/out/initrd.zst",
    },
    outputs: { initrd: file("/out/initrd.zst") },
    sourceDateEpoch,
  });
}

/** Public and private halves of the keys that sign what boots. */
export interface BootKeys {
  readonly dbCertificate: Input;
  readonly pcrPublicKey: Input;
  readonly dbKey: Secret;
  readonly pcrKey: Secret;
}

export interface UkiInputs extends Common {
  readonly kernelArguments: readonly string[];
  readonly keys: BootKeys;
}

/** The signed unified kernel image and the signed boot loader. */
export function ukiStep({ kernelArguments, keys, sourceDateEpoch }: UkiInputs): ExecStep {
  return programStep({
    id: "uki",
    title: "signed kernel image",
    program: "uki",
    tools: toolRoot,
    inputs: {
      "/in/root": outputOf("root.image", "root"),
      "/in/tree": outputOf("tree", "tree"),
      "/in/initrd.zst": outputOf("initrd", "initrd"),
      "/in/ROOT_HASH": outputOf("seal", "rootHash"),
      "/in/db.crt": keys.dbCertificate,
      "/in/pcr.pub": keys.pcrPublicKey,
    },
    secrets: { "/secrets/db.key": keys.dbKey, "/secrets/pcr.key": keys.pcrKey },
    flags: {
      root: "/in/root",
      tree: "/in/tree",
      initrd: "/in/initrd.zst",
      "root-hash": "/in/ROOT_HASH",
      arguments: kernelArguments.join(" "),
      "db-crt": "/in/db.crt",
      "db-key": "/secrets/db.key",
      "pcr-pub": "/in/pcr.pub",
      "pcr-key": "/secrets/pcr.key",
      out: "/out",
    },
    outputs: { uki: file("/out/uki.efi"), bootloader: file("/out/bootx64.efi") },
    sourceDateEpoch,
  });
}

export interface MeasureInputs extends Common {
  readonly designation: string;
  /** Certificates that firmware enrols, by file name (PK.crt, KEK.crt, db.crt, guid). */
  readonly certificates: Readonly<Record<string, Input>>;
}

/** Predicts the PCR values of a machine that boots this image, for our verifier and for Keylime's. */
export function measureStep({ designation, certificates, sourceDateEpoch }: MeasureInputs): ExecStep {
  const keys = Object.entries(certificates).map(([name, input]): [string, Input] => [`/in/keys/${name}`, input]);
  return programStep({
    id: "measure",
    title: "predicted measurements",
    program: "predict",
    tools: toolRoot,
    inputs: {
      "/in/uki.efi": outputOf("uki", "uki"),
      "/in/bootx64.efi": outputOf("uki", "bootloader"),
      "/in/ROOT_HASH": outputOf("seal", "rootHash"),
      ...Object.fromEntries(keys),
    },
    flags: {
      designation,
      uki: "/in/uki.efi",
      bootloader: "/in/bootx64.efi",
      keys: "/in/keys",
      "root-hash": "/in/ROOT_HASH",
      out: "/out/measurements.json",
      keylime: "/out/keylime.json",
    },
    outputs: { measurements: file("/out/measurements.json"), keylime: file("/out/keylime.json") },
    sourceDateEpoch,
  });
}

export interface DiskInputs extends Common {
  /** Drives every GPT, partition and FAT identifier. */
  readonly seed: string;
  readonly espMiB: number;
  readonly rootMiB: number;
  readonly verityMiB: number;
  readonly imageGiB: number;
  readonly extensions: readonly ExtensionSlot[];
}

/** The disk with the ESP and slot A, compressed for flashing and as QCOW2. */
export function diskStep({ version, sourceDateEpoch, seed, extensions, ...sizes }: DiskInputs): ExecStep {
  const { espMiB, rootMiB, verityMiB, imageGiB } = sizes;
  return programStep({
    id: "disk",
    title: "disk images",
    program: "disk",
    tools: toolRoot,
    inputs: {
      "/in/sealed": outputOf("seal", "sealed"),
      "/in/ROOT_HASH": outputOf("seal", "rootHash"),
      "/in/uki.efi": outputOf("uki", "uki"),
      "/in/bootx64.efi": outputOf("uki", "bootloader"),
      ...extensionInputs(extensions, "description"),
      ...extensionInputs(extensions, "image"),
    },
    flags: {
      sealed: "/in/sealed",
      "root-hash": "/in/ROOT_HASH",
      uki: "/in/uki.efi",
      bootloader: "/in/bootx64.efi",
      version,
      seed,
      "esp-mib": String(espMiB),
      "root-mib": String(rootMiB),
      "verity-mib": String(verityMiB),
      "image-gib": String(imageGiB),
      extensions: extensionFlag(extensions),
      descriptions: "/in/extensions",
      out: "/out",
    },
    outputs: { raw: file("/out/disk.raw.zst"), qcow2: file("/out/disk.qcow2") },
    sourceDateEpoch,
  });
}

export interface BaselineInputs extends Common {
  readonly kernelArguments: readonly string[];
  readonly extensions: readonly ExtensionSlot[];
}

/** What the sealed root is, file by file and setting by setting: what a running machine is compared with. */
export function baselineStep({ kernelArguments, extensions, sourceDateEpoch }: BaselineInputs): ExecStep {
  return programStep({
    id: "baseline",
    title: "baseline of the root",
    program: "baseline",
    tools: toolRoot,
    privileges: "tree",
    inputs: {
      "/in/root": outputOf("tree", "tree"),
      "/in/dpkg": outputOf("tree", "dpkg"),
      "/in/ROOT_HASH": outputOf("seal", "rootHash"),
      ...extensionInputs(extensions, "description"),
      ...extensionInputs(extensions, "tree"),
    },
    flags: {
      root: "/in/root",
      dpkg: "/in/dpkg",
      "root-hash": "/in/ROOT_HASH",
      arguments: kernelArguments.join(" "),
      extensions: extensionFlag(extensions),
      descriptions: "/in/extensions",
      out: "/out/baseline.json",
    },
    outputs: { baseline: file("/out/baseline.json") },
    sourceDateEpoch,
  });
}
