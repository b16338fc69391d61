import type { ExecStep, Input } from "../step.ts";
import { file, outputOf, programStep } from "./exec.ts";
import type { BootKeys } from "./image.ts";
import { toolRoot } from "./root.ts";
import { overlayPaths, overlaySources } from "./tree-inputs.ts";

interface Media {
  readonly title: string;
  readonly version: string;
  readonly sourceDateEpoch: number;
}

const disk = { "/in/disk.raw.zst": outputOf("disk", "raw"), "/in/ROOT_HASH": outputOf("seal", "rootHash") } as const;
const diskFlags = { disk: "/in/disk.raw.zst", "root-hash": "/in/ROOT_HASH" } as const;

/** The sealed root as an OCI image. Its documents and its layer are outputs of their own, so that each has a digest in the record. */
export function ociStep({ title, version, sourceDateEpoch, licenses }: Media & { readonly licenses: string }): ExecStep {
  return programStep({
    id: "oci",
    title: "OCI image",
    program: "oci",
    tools: toolRoot,
    privileges: "tree",
    inputs: { "/in/tree": outputOf("tree", "tree"), "/in/uki.efi": outputOf("uki", "uki"), ...disk },
    flags: { tree: "/in/tree", uki: "/in/uki.efi", ...diskFlags, title, version, licenses, out: "/out" },
    outputs: {
      layout: file("/out/oci-layout"),
      index: file("/out/index.json"),
      manifest: file("/out/manifest.json"),
      config: file("/out/config.json"),
      layer: file("/out/layer.tar.zst"),
    },
    sourceDateEpoch,
  });
}

export interface OvaInputs extends Media {
  /** Name of the machine. */
  readonly name: string;
  readonly cpus: number;
  readonly memoryMiB: number;
}

/** A package for VMware, VirtualBox and other readers of OVF. */
export function ovaStep({ name, title, version, cpus, memoryMiB, sourceDateEpoch }: OvaInputs): ExecStep {
  return programStep({
    id: "ova",
    title: "OVA package",
    program: "ova",
    tools: toolRoot,
    inputs: { "/in/disk.qcow2": outputOf("disk", "qcow2"), ...disk },
    flags: {
      ...diskFlags,
      qcow2: "/in/disk.qcow2",
      name,
      title,
      version,
      cpus: String(cpus),
      "memory-mib": String(memoryMiB),
      out: "/out/disk.ova",
    },
    outputs: { ova: file("/out/disk.ova") },
    sourceDateEpoch,
  });
}

export interface IsoInputs extends Omit<Media, "title"> {
  /** The image's own overlays, for the programs that the installer takes from the image. */
  readonly overlays: readonly string[];
  /** Repository paths: what the installer adds to the image's initrd. */
  readonly list: string;
  readonly installerOverlay: string;
  readonly kernelArguments: readonly string[];
  /** Drives the identifiers of the medium. */
  readonly seed: string;
  /** The smallest disk that the installer writes. */
  readonly minimumGiB: number;
  readonly keys: Pick<BootKeys, "dbCertificate" | "dbKey">;
}

/** The installer for machines of metal: the same kernel, initrd and boot loader, and the compressed disk inside the signed kernel image. */
export function isoStep(iso: IsoInputs): ExecStep {
  const list: Input = { kind: "source", path: iso.list };
  return programStep({
    id: "iso",
    title: "installer ISO",
    program: "iso",
    tools: toolRoot,
    inputs: {
      "/in/root": outputOf("root.image", "root"),
      "/in/tree": outputOf("tree", "tree"),
      "/in/initrd.zst": outputOf("initrd", "initrd"),
      "/in/disk.raw.zst": outputOf("disk", "raw"),
      "/in/bootx64.efi": outputOf("uki", "bootloader"),
      "/in/files.list": list,
      "/in/installer": { kind: "source", path: iso.installerOverlay },
      ...overlaySources(iso.overlays),
      "/in/db.crt": iso.keys.dbCertificate,
    },
    secrets: { "/secrets/db.key": iso.keys.dbKey },
    flags: {
      root: "/in/root",
      tree: "/in/tree",
      overlays: overlayPaths(iso.overlays),
      initrd: "/in/initrd.zst",
      list: "/in/files.list",
      "installer-overlay": "/in/installer",
      disk: "/in/disk.raw.zst",
      bootloader: "/in/bootx64.efi",
      arguments: iso.kernelArguments.join(" "),
      version: iso.version,
      seed: iso.seed,
      "minimum-gib": String(iso.minimumGiB),
      "db-crt": "/in/db.crt",
      "db-key": "/secrets/db.key",
      out: "/out/installer.iso",
    },
    outputs: { iso: file("/out/installer.iso") },
    sourceDateEpoch: iso.sourceDateEpoch,
  });
}
