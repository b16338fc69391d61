import type { LockedPackage } from "../lock/lock.ts";
import type { ExecStep, FetchStep } from "../step.ts";
import { directory, outputOf, programStep } from "./exec.ts";

/** Fetches every locked package of one root. The only kind of step with a network, and every byte is checked against the lock. */
export function fetchStep(root: string, packages: readonly LockedPackage[]): FetchStep {
  return {
    kind: "fetch",
    id: `fetch.${root}`,
    network: "fetch",
    files: packages.map(({ archive, path, size, sha256 }) => ({
      name: path.slice(path.lastIndexOf("/") + 1),
      archive,
      path,
      size,
      sha256,
    })),
  };
}

export interface RootInputs {
  readonly root: string;
  readonly title: string;
  readonly suite: string;
  readonly architecture: string;
  /** "host" makes the first tool root; everything after it runs on that one. */
  readonly tools: ExecStep["tools"];
  readonly docs: "keep" | "drop";
  /** "unpacked" is a tenth of the work of "installed" and enough for tools; an image is always installed, "emulated" when this builder cannot run its programs. */
  readonly how: "installed" | "unpacked" | "emulated";
  readonly sourceDateEpoch: number;
}

/** A root file system made of exactly the locked packages. */
export function rootStep({ root, title, suite, architecture, tools, docs, how, sourceDateEpoch }: RootInputs): ExecStep {
  return programStep({
    id: `root.${root}`,
    title,
    program: "make-root",
    tools,
    privileges: "tree",
    inputs: { "/in/debs": { kind: "fetched", step: `fetch.${root}` } },
    flags: { debs: "/in/debs", suite, architecture, docs, how, out: "/out/root" },
    outputs: { root: directory("/out/root") },
    sourceDateEpoch,
  });
}

export const toolRoot = outputOf("root.build", "root");
