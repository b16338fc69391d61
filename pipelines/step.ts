import type { Sha256 } from "@secai/formats/digest";

/** An output of another step, by name. */
export interface OutputRef {
  readonly kind: "output";
  readonly step: string;
  readonly output: string;
}

/**
 * What a step reads, by the absolute path at which it sees it.
 * - `source`: a file or folder of this repository (path from its top); its digest stands in `Plan.sources`
 * - `fetched`: a folder with every file of a fetch step
 * - `program`: a TypeScript program of pipelines/programs, bundled to one ESM file for the tool root's Node; digest in `Plan.programs`
 * - `text`: a small literal file
 */
export type Input =
  | OutputRef
  | { readonly kind: "source"; readonly path: string }
  | { readonly kind: "fetched"; readonly step: string }
  | { readonly kind: "program"; readonly name: string }
  | { readonly kind: "text"; readonly content: string };

/** A file outside the repository and the cache that a step may read but never copy out; the record holds only `identity`. */
export interface Secret {
  /** Name in the keyring, e.g. "db.key". */
  readonly name: string;
  /** Digest of the public half (certificate or public key): what makes two secrets the same for the cache. */
  readonly identity: Sha256;
}

/** A folder that the engine keeps between runs; steps that name the same one get it one after the other. */
export interface CacheMount {
  /** Lower-case letters, digits, "." and "-", at most 32, e.g. "ccache". */
  readonly name: string;
}

export interface OutputSpec {
  /** Absolute path below /out. */
  readonly path: string;
  readonly type: "file" | "directory";
}

/** One file that a fetch step brings into the content store, never without its hash. */
export interface FetchFile {
  readonly name: string;
  /** Path below the archive's base, e.g. "pool/main/b/bash/bash_5.2.37-2+b5_amd64.deb". */
  readonly path: string;
  /** Which archive of the lock it comes from, e.g. "debian" or "debian-security". */
  readonly archive: string;
  readonly size: number;
  readonly sha256: Sha256;
}

export interface FetchStep {
  readonly kind: "fetch";
  readonly id: string;
  readonly network: "fetch";
  readonly files: readonly FetchFile[];
}

export interface ExecStep {
  readonly kind: "exec";
  readonly id: string;
  /** One line for people: what this step makes. */
  readonly title: string;
  /** The root file system it runs in: an output that is a directory tree, or the host's own (only to make the first tool root). */
  readonly tools: OutputRef | { readonly kind: "host" };
  readonly network: "none";
  /**
   * "tree": may chown, mknod, chroot and mount inside its own sandbox, as making a root file system needs. "machine": every capability and
   * the devices of the machine it runs on, as an image builder with loop devices needs; only engines on machines of their own run it.
   */
  readonly privileges: "none" | "tree" | "machine";
  readonly inputs: Readonly<Record<string, Input>>;
  readonly secrets: Readonly<Record<string, Secret>>;
  /**
   * Folders that outlive the step, by the absolute path at which it may write to them, e.g. a compiler's cache at "/cache/ccache". What
   * they hold is in no key, output or record, only that they are there: a step must make the same bytes of an empty one.
   */
  readonly caches?: Readonly<Record<string, CacheMount>>;
  readonly env: Readonly<Record<string, string>>;
  readonly run: readonly string[];
  readonly outputs: Readonly<Record<string, OutputSpec>>;
}

export type Step = FetchStep | ExecStep;

/** A pure value: everything an engine needs to build a recipe. Steps stand in an order in which they can run. */
export interface Plan {
  readonly recipe: { readonly id: string; readonly version: string; readonly digest: Sha256; readonly lockDigest: Sha256 };
  /** Seconds since 1970; every timestamp in the image is this one or older. */
  readonly sourceDateEpoch: number;
  /** Digest of each repository path that a step reads (tree digest for a folder). */
  readonly sources: Readonly<Record<string, Sha256>>;
  /** Digest of each bundled program. */
  readonly programs: Readonly<Record<string, Sha256>>;
  readonly steps: readonly Step[];
  /** Files of the release directory, by name below it. */
  readonly outputs: Readonly<Record<string, OutputRef>>;
}

/** A step with every input replaced by what it really was: the provenance and the cache key are made of this, nothing else. */
export interface ResolvedInput {
  readonly path: string;
  readonly kind: Input["kind"] | "secret" | "tools";
  readonly name: string;
  readonly digest: Sha256;
}

export interface OutputRecord {
  readonly digest: Sha256;
  readonly type: "file" | "directory";
  /** Bytes of content: the file's, or the sum over the tree's regular files. */
  readonly size: number;
}

export interface StepRecord {
  readonly id: string;
  /** Digest of the resolved step: the cache key. */
  readonly key: Sha256;
  readonly step: Step;
  readonly inputs: readonly ResolvedInput[];
  readonly outputs: Readonly<Record<string, OutputRecord>>;
  /** RFC 3339, UTC. When it really ran, also when this run took it from the cache. */
  readonly startedOn: string;
  readonly finishedOn: string;
  readonly cached: boolean;
  readonly engine: string;
  /** Locked files that were replaced by newer ones of the mirror (dev channel only). */
  readonly drift: readonly string[];
}
