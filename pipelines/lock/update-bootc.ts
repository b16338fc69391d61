import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parsePublicKey } from "@secai/formats/keys";
import { FetchError } from "../fetch/errors.ts";
import { createHttpClient, type HttpClient } from "../fetch/http.ts";
import { withRegistryTokens } from "../fetch/registry.ts";
import type { BootcRecipe, ImageSigner, ImageSource } from "../recipe/recipe.ts";
import {
  type BootcLock,
  type LockedImage,
  type LockedRpm,
  type LockedRpmRepository,
  type LockedSigner,
  UNRESOLVED,
  type Unresolved,
} from "./bootc-lock.ts";
import { bootcRequested, imageSources } from "./check-bootc-lock.ts";
import { LockError } from "./errors.ts";
import { requireSigned } from "./image-signature.ts";
import { type LockedPackage, type LockedSuite, NPM_ARCHIVE } from "./lock.ts";
import { createImageReader, readImage } from "./registry-image.ts";
import { readRepository } from "./repomd.ts";
import { createResolver, lockSuite, requestedTools, type UpdateOptions } from "./update.ts";

/** What an image says of its kernel: the label that rpm-ostree and its builders set. */
const KERNEL_LABEL = "ostree.linux";

/** What takes tools and unpacked images to find out: run as steps, by whoever can run steps. */
export interface Workshop {
  /** Which RPMs go onto the base, each checked against a signature. @throws LockError LOCK_UNRESOLVABLE, EngineError */
  resolveRpms(lock: BootcLock): Promise<readonly LockedRpm[]>;
  /** The packages in an image with kernel modules that match the recipe's patterns. @throws LockError LOCK_ARCHIVE_MISSING, EngineError */
  findModules(image: LockedImage, patterns: readonly string[], lock: BootcLock): Promise<LockedImage["packages"]>;
}

export interface BootcUpdateOptions extends UpdateOptions {
  /** The repository's top, where the recipe's key files lie. */
  readonly top: string;
  readonly workshop: Workshop;
  /** What is known so far: a digest that was taken down before stays known where nothing can be reached. */
  readonly previous?: BootcLock;
}

/** What was found out, or why not. */
type Outcome<T> = { readonly found: T } | { readonly reason: string };

/**
 * Only what cannot be reached stays open; whatever is reached and wrong stops the update.
 * @throws whatever is no matter of reach
 */
async function attempt<T>(work: () => Promise<T>): Promise<Outcome<T>> {
  try {
    return { found: await work() };
  } catch (error) {
    if (error instanceof FetchError && error.exit === 3) return { reason: `not reached: ${error.code}` };
    throw error;
  }
}

interface Context {
  readonly recipe: BootcRecipe;
  readonly options: BootcUpdateOptions;
  readonly client: HttpClient;
  readonly directory: string;
  /** Seconds since 1970. */
  readonly now: number;
}

const iso = (seconds: number): string => new Date(seconds * 1000).toISOString().replace(/\.\d{3}Z$/, "Z");

/** The signer as far as it was verified. */
function lockedSigner(signer: ImageSigner, verifiedAt: string | null): LockedSigner {
  const identity = signer.kind === "cosign-key" ? signer.identity : signer.reason;
  return { kind: signer.kind, identity, verifiedAt };
}

/** An image that nobody has looked at yet; a digest of the recipe's is known all the same. */
export function openImage(name: string, { repository, tag, digest, signer }: ImageSource): LockedImage {
  return {
    ...{ name, repository, tag: tag ?? null, digest: digest ?? UNRESOLVED, date: null },
    signer: lockedSigner(signer, null),
    ...{ kernel: null, blobs: [], packages: [] },
  };
}

async function lockImage({ recipe, options, client, now }: Context, name: string, source: ImageSource): Promise<LockedImage> {
  const { repository, tag, digest, signer } = source;
  const reference = digest ?? tag ?? "";
  const what = `${repository}${digest === undefined ? `:${tag}` : `@${digest}`}`;
  options.report?.(`reading ${what}`);
  const reader = createImageReader(client, options.mirrors, repository, options.signal);
  const image = await readImage(reader, reference, recipe.base.architecture, what);
  if (signer.kind === "cosign-key") {
    const key = parsePublicKey(await readFile(join(options.top, signer.key)));
    await requireSigned(reader, { repository, digest: image.digest }, key);
  }
  return {
    ...{ name, repository, tag: tag ?? null, digest: image.digest, date: iso(now).slice(0, 10) },
    signer: lockedSigner(signer, signer.kind === "cosign-key" ? iso(now) : null),
    kernel: image.labels[KERNEL_LABEL] ?? null,
    blobs: image.blobs,
    packages: [],
  };
}

/** What is known of an image that cannot be reached from here. */
function knownImage({ options }: Context, name: string, source: ImageSource): LockedImage {
  const open = openImage(name, source);
  const before = options.previous?.images.find((image) => image.name === name);
  if (before === undefined || before.repository !== open.repository || before.tag !== open.tag) return open;
  return before.tag === null && before.digest !== open.digest ? open : { ...open, digest: before.digest, date: before.date };
}

/** Prebuilt modules load into one kernel only. @throws LockError LOCK_KERNEL_MISMATCH */
function requireSameKernel(images: readonly LockedImage[]): void {
  const base = images.find(({ name }) => name === "base")?.kernel ?? null;
  for (const { name, kernel, blobs } of images) {
    if (!name.startsWith("modules.") || blobs.length === 0 || base === null || kernel === base) continue;
    throw new LockError("LOCK_KERNEL_MISMATCH", {
      expected: `${name} for kernel ${base}`,
      actual: kernel ?? "an image that names none",
    });
  }
}

interface Tools {
  readonly archives: readonly LockedSuite[];
  readonly roots: Readonly<Record<string, readonly LockedPackage[]>>;
}

async function lockTools({ recipe, options, directory }: Context): Promise<Tools> {
  const names = requestedTools(recipe);
  const resolver = await createResolver(recipe.toolBase, Object.values(names).flat(), directory, options);
  const roots: Record<string, readonly LockedPackage[]> = {};
  for (const [root, packages] of Object.entries(names)) {
    options.report?.(`resolving the ${root} root`);
    roots[root] = await resolver.lockRoot(packages);
  }
  return { archives: resolver.suites.map(lockSuite), roots };
}

async function lockRepositories({ recipe, options, client, directory }: Context): Promise<readonly LockedRpmRepository[]> {
  const found: LockedRpmRepository[] = [];
  const { mirrors, signal, top } = options;
  const reader = { client, mirrors, top, directory, ...(signal === undefined ? {} : { signal }) };
  for (const repository of recipe.base.repositories) {
    options.report?.(`reading ${repository.name}`);
    found.push(await readRepository(reader, repository));
  }
  return found;
}

/** What needs the base and the tools, where these are there. */
async function inWorkshop(lock: BootcLock, { recipe, options }: Context): Promise<BootcLock> {
  const open = new Set(lock.unresolved.map(({ name }) => name));
  const isReady = !open.has("tools") && !open.has("base") && lock.repositories.length > 0;
  if (!isReady) return lock;
  const images: LockedImage[] = [];
  for (const image of lock.images) {
    const patterns = recipe.modules.find(({ name }) => `modules.${name}` === image.name)?.packages;
    const isOpen = patterns === undefined || open.has(image.name);
    images.push(isOpen ? image : { ...image, packages: await options.workshop.findModules(image, patterns, lock) });
  }
  options.report?.("resolving the packages of the image");
  const rpms = await options.workshop.resolveRpms({ ...lock, images });
  return { ...lock, images, rpms, unresolved: lock.unresolved.filter(({ name }) => name !== "rpms") };
}

const WAITS = "waits for the base, the tools and the repositories";

async function lockAll(context: Context): Promise<BootcLock> {
  const { recipe } = context;
  const tools = await attempt(() => lockTools(context));
  const unresolved: Unresolved[] = [];
  const images: LockedImage[] = [];
  for (const [name, source] of imageSources(recipe)) {
    const outcome = await attempt(() => lockImage(context, name, source));
    images.push("found" in outcome ? outcome.found : knownImage(context, name, source));
    if ("reason" in outcome) unresolved.push({ name, reason: outcome.reason });
  }
  requireSameKernel(images);
  const repositories = await attempt(() => lockRepositories(context));
  unresolved.push({ name: "rpms", reason: "reason" in repositories ? repositories.reason : WAITS });
  if ("reason" in tools) unresolved.push({ name: "tools", reason: tools.reason });
  const lock: BootcLock = {
    ...{ schema: 1, kind: "bootc", recipe: recipe.id, architecture: recipe.base.architecture, unresolved },
    ...("found" in tools ? tools.found : { archives: [], roots: {} }),
    ...{ requested: bootcRequested(recipe), images, rpms: [] },
    repositories: "found" in repositories ? repositories.found : [],
  };
  return await inWorkshop(lock, context);
}

/**
 * Resolves a recipe on a container base: tags to digests whose signatures are checked, packages to files whose signatures are checked, and the
 * tools. What cannot be reached from here stays unresolved, by name and with the reason.
 * @throws LockError, FetchError, EngineError for whatever was reached and is wrong
 */
export async function updateBootcLock(recipe: BootcRecipe, options: BootcUpdateOptions): Promise<BootcLock> {
  const directory = await mkdtemp(join(tmpdir(), "secai-lock-"));
  const { now = Math.floor(Date.now() / 1000), proxyEnv } = options;
  const client = withRegistryTokens(createHttpClient(proxyEnv === undefined ? {} : { proxyEnv }));
  try {
    return await lockAll({ recipe, options, client, directory, now });
  } finally {
    client.close();
    await rm(directory, { recursive: true, force: true });
  }
}

/** Registries of a recipe, which images are named by; its archives and repositories of packages have no address of their own. */
export function ownAddresses(recipe: BootcRecipe): Readonly<Record<string, readonly string[]>> {
  const registries = imageSources(recipe).map(([, { repository }]) => repository.slice(0, repository.indexOf("/")));
  return Object.fromEntries(registries.map((host): [string, string[]] => [host, [`https://${host}/v2/`]]));
}

/** Every archive that a recipe on a container base takes something from. */
export function bootcArchives(recipe: BootcRecipe): readonly string[] {
  const debian = recipe.toolBase.archives.map(({ name }) => name);
  const rpm = recipe.base.repositories.map(({ name }) => name);
  return [...debian, ...(recipe.npm.length === 0 ? [] : [NPM_ARCHIVE]), ...rpm, ...Object.keys(ownAddresses(recipe))];
}
