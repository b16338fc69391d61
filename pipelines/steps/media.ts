import type { ExecStep } from "../step.ts";
import { file, outputOf, programStep } from "./exec.ts";
import { toolRoot } from "./root.ts";

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
