import type { Sha256 } from "@secai/formats/digest";
import { type LockedPackage, type LockedSuite, lockedRoot, packageLine, type RootName, rootNames, suiteLine } from "./lock.ts";

/** A blob of an image by digest; manifests and indexes are asked for at another address than the rest. */
export interface LockedBlob {
  readonly kind: "manifest" | "blob";
  readonly sha256: Sha256;
  /** Bytes. */
  readonly size: number;
}

export interface LockedSigner {
  readonly kind: "cosign-key" | "unsigned upstream";
  /** Whose key it is; for an unsigned image why there is none. */
  readonly identity: string;
  /** RFC 3339: when a signature of this digest was verified; null when it was not, or there is none. */
  readonly verifiedAt: string | null;
}

export interface LockedImage {
  /** "base", "imageBuilder" or "modules.NAME". */
  readonly name: string;
  readonly repository: string;
  /** What was resolved; null when the recipe gives a digest. */
  readonly tag: string | null;
  /** "sha256:" and hex of the manifest or index. */
  readonly digest: string;
  /** Day on which the tag stood for the digest, YYYY-MM-DD; null when nobody looked. */
  readonly date: string | null;
  readonly signer: LockedSigner;
  /** Kernel that the image says it is of; null when it says none. */
  readonly kernel: string | null;
  /** Every blob, what `digest` names first; empty as long as the image was not read. */
  readonly blobs: readonly LockedBlob[];
  /** Of images with kernel modules: the packages in it, by path, and what they are. */
  readonly packages: readonly { readonly file: string; readonly sha256: Sha256 }[];
}

export interface LockedRpmRepository {
  readonly name: string;
  /** Digest of repomd.xml, and its revision in seconds since 1970. */
  readonly repomd: Sha256;
  readonly revision: number;
  readonly primary: { readonly path: string; readonly sha256: Sha256; readonly size: number };
  /** Fingerprints of those who signed repomd.xml; empty when the repository signs only its packages. */
  readonly signedBy: readonly string[];
}

/** One RPM file, exactly. */
export interface LockedRpm {
  readonly name: string;
  readonly epoch: number;
  readonly version: string;
  readonly release: string;
  readonly arch: string;
  readonly repository: string;
  /** Below the repository's address. */
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  readonly sha256: Sha256;
  /** Key id of the OpenPGP key that signed its header, lower-case hex. */
  readonly signingKey: string;
}

/** What nobody has resolved yet, and why. */
export interface Unresolved {
  /** An image's name, "rpms" or "tools". */
  readonly name: string;
  readonly reason: string;
}

/** What a recipe on a container image was made of on one day, to the byte; or what of it is not known yet. */
export interface BootcLock {
  readonly schema: 1;
  readonly kind: "bootc";
  /** Id of the recipe. */
  readonly recipe: string;
  readonly architecture: string;
  /** Empty when everything is resolved; only then can anything be built. */
  readonly unresolved: readonly Unresolved[];
  readonly archives: readonly LockedSuite[];
  /** What the recipe asked for when the lock was made, sorted: for the image and for each tool root. */
  readonly requested: Readonly<Record<"image" | "remove", readonly string[]>> & Readonly<Record<RootName, readonly string[]>>;
  /** Debian packages of the tool roots. */
  readonly roots: Readonly<Record<RootName, readonly LockedPackage[]>>;
  readonly images: readonly LockedImage[];
  readonly repositories: readonly LockedRpmRepository[];
  /** Sorted by name; what the base already has is not among them. */
  readonly rpms: readonly LockedRpm[];
}

/** Stands for a digest that nobody knows yet. */
export const UNRESOLVED = "unresolved";

/** @throws TypeError for an image that the lock does not have: the lock was not checked against its recipe */
export function lockedImage({ images }: BootcLock, name: string): LockedImage {
  const image = images.find((candidate) => candidate.name === name);
  if (image === undefined) throw new TypeError(`the lock has no image ${name}`);
  return image;
}

/** The newest of what the image is made of, in seconds since 1970; undefined while nothing of it is known. */
export function bootcLockDate({ images, repositories }: BootcLock): number | undefined {
  const days = images.flatMap(({ date }) => (date === null ? [] : [Date.parse(`${date}T00:00:00Z`) / 1000]));
  const all = [...days, ...repositories.map(({ revision }) => revision)];
  return all.length === 0 ? undefined : Math.max(...all);
}

/** "bash-5.2.37-3.fc42.x86_64", with the epoch where there is one (NEVRA). */
export function nevra({
  name,
  epoch,
  version,
  release,
  arch,
}: Omit<LockedRpm, "repository" | "path" | "size" | "sha256" | "signingKey">): string {
  return `${name}-${epoch === 0 ? "" : `${epoch}:`}${version}-${release}.${arch}`;
}

function imageLine({ name, repository, tag, digest, date, signer, kernel, blobs, packages }: LockedImage): string {
  const { kind, identity, verifiedAt } = signer;
  const files = blobs.map((blob) => ({ kind: blob.kind, sha256: blob.sha256, size: blob.size }));
  const rpms = packages.map(({ file, sha256 }) => ({ file, sha256 }));
  const head = { name, repository, tag, digest, date, signer: { kind, identity, verifiedAt }, kernel };
  return JSON.stringify({ ...head, blobs: files, packages: rpms });
}

function repositoryLine({ name, repomd, revision, primary: { path, sha256, size }, signedBy }: LockedRpmRepository): string {
  return JSON.stringify({ name, repomd, revision, primary: { path, sha256, size }, signedBy });
}

function rpmLine({ name, epoch, version, release, arch, repository, path, size, sha256, signingKey }: LockedRpm): string {
  return JSON.stringify({ name, epoch, version, release, arch, repository, path, size, sha256, signingKey });
}

const list = (lines: readonly string[]): string =>
  lines.length === 0 ? "[]" : `[\n${lines.map((line) => `    ${line}`).join(",\n")}\n  ]`;

/** The one text form of a lock: an image, a repository or a package a line. */
export function formatBootcLock(lock: BootcLock): string {
  const { schema, kind, recipe, architecture, unresolved, archives, requested, images, repositories, rpms } = lock;
  const asked = Object.entries(requested).map(([root, names]) => `    ${JSON.stringify(root)}: ${JSON.stringify(names)}`);
  const roots = rootNames(lock).map((root) => {
    const lines = lockedRoot(lock, root).map((entry) => `      ${packageLine(entry)}`);
    return `    ${JSON.stringify(root)}: ${lines.length === 0 ? "[]" : `[\n${lines.join(",\n")}\n    ]`}`;
  });
  return `{
  "schema": ${schema},
  "kind": ${JSON.stringify(kind)},
  "recipe": ${JSON.stringify(recipe)},
  "architecture": ${JSON.stringify(architecture)},
  "state": ${JSON.stringify(unresolved.length === 0 ? "resolved" : UNRESOLVED)},
  "unresolved": ${list(unresolved.map(({ name, reason }) => JSON.stringify({ name, reason })))},
  "images": ${list(images.map(imageLine))},
  "repositories": ${list(repositories.map(repositoryLine))},
  "rpms": ${list(rpms.map(rpmLine))},
  "archives": ${list(archives.map(suiteLine))},
  "requested": {
${asked.join(",\n")}
  },
  "roots": {
${roots.join(",\n")}
  }
}
`;
}
