import { chmod, copyFile, cp, lstat, mkdtemp, realpath } from "node:fs/promises";
import { join, relative } from "node:path";
import { createSemaphore } from "../../../../pipelines/engine/semaphore.ts";
import { type ExecResult, runContainer } from "./exec.ts";
import { idOf, type Recipe, recipeOf } from "./recipe.ts";

/** A container as it lies on this machine. */
export interface ContainerState {
  readonly root: string;
  /** Paths of this machine by the path inside. */
  readonly mounts: ReadonlyMap<string, string>;
  /** Volumes by the path inside. */
  readonly caches: ReadonlyMap<string, CacheVolume>;
  readonly env: ReadonlyMap<string, string>;
  readonly result?: ExecResult;
}

/** A folder that outlives containers; `alone` waits until no other container has it. */
export interface CacheVolume {
  readonly folder: string;
  readonly alone: <T>(work: () => Promise<T>) => Promise<T>;
}

export interface EvaluatorOptions {
  /** Everything the server makes lies below it. */
  readonly folder: string;
  /** Where images come from, by reference; anything else is refused, as by a registry that does not have it. */
  readonly images: ReadonlyMap<string, string>;
  readonly platform: string;
  readonly version: string;
  /** Changes the argv of every exec: how tests make a runner that does not do what it is told. */
  readonly tamper: (args: readonly string[]) => readonly string[];
}

/** Does what recipes say, each once; a failure is not kept. */
export interface Evaluator {
  value(recipe: Recipe, signal: AbortSignal): Promise<unknown>;
}

export function createEvaluator(options: EvaluatorOptions): Evaluator {
  const made = new Map<string, Promise<unknown>>();
  const once = <T>(recipe: Recipe, make: () => Promise<T>): Promise<T> => {
    const id = idOf(recipe);
    const known = made.get(id) ?? make();
    made.set(id, known);
    known.catch(() => made.delete(id));
    return known as Promise<T>;
  };
  const fresh = (): Promise<string> => mkdtemp(join(options.folder, "object-"));

  const container = (recipe: Recipe, signal: AbortSignal): Promise<ContainerState> =>
    once(recipe, async () => {
      const { call, args, of } = recipe;
      if (call === "container") return { root: await fresh(), mounts: new Map(), caches: new Map(), env: new Map() };
      const before = await container(required(of), signal);
      const { mounts, env } = before;
      const withMount = (source: string): ContainerState => ({
        ...before,
        mounts: new Map([...mounts, [String(args.path), source]]),
      });
      switch (call) {
        case "from":
          return { ...before, root: image(String(args.address)) };
        case "withRootfs":
          return { ...before, root: await path(recipeOf(args.directory, "Directory"), signal) };
        case "withMountedDirectory":
          return withMount(await path(recipeOf(args.source, "Directory"), signal));
        case "withMountedFile":
          return withMount(await path(recipeOf(args.source, "File"), signal));
        case "withMountedSecret":
          return withMount(await secretFile(recipeOf(args.source, "Secret")));
        case "withMountedCache": {
          // The one mode in which steps may have volumes: they take turns.
          if (args.sharing !== "LOCKED") throw new Error("this server has locked cache volumes only");
          const volume = await cacheVolume(String(recipeOf(args.cache, "CacheVolume").args.key));
          return { ...before, caches: new Map([...before.caches, [String(args.path), volume]]) };
        }
        case "withEnvVariable":
          return { ...before, env: new Map([...env, [String(args.name), String(args.value)]]) };
        case "withExec": {
          const root = await fresh();
          await cp(before.root, root, { recursive: true, verbatimSymlinks: true, preserveTimestamps: true });
          const argv = options.tamper(args.args as string[]);
          const result = await runContainer({ ...before, root }, argv, args.insecureRootCapabilities === true, signal);
          return { ...before, root, result };
        }
        default:
          throw new Error(`this server has no Container.${call}`);
      }
    });

  const volumes = new Map<string, Promise<CacheVolume>>();
  const cacheVolume = (key: string): Promise<CacheVolume> => {
    const volume = volumes.get(key) ?? fresh().then((folder) => ({ folder, alone: createSemaphore(1) }));
    volumes.set(key, volume);
    return volume;
  };

  const image = (reference: string): string => {
    const found = options.images.get(reference);
    if (found === undefined) throw new Error(`${reference}: not found`);
    return found;
  };

  /** A secret's content is read when it is used, and lies in a file only its owner can read. */
  const secretFile = async ({ call, args }: Recipe): Promise<string> => {
    const uri = String(args.uri);
    if (call !== "secret" || !uri.startsWith("file:///")) throw new Error("this server has secrets of files only");
    const copy = join(await fresh(), "secret");
    await copyFile(uri.slice("file://".length), copy);
    await chmod(copy, 0o400);
    return copy;
  };

  /** Files and directories: snapshots of this machine's, or parts of containers and directories. */
  const path = (recipe: Recipe, signal: AbortSignal): Promise<string> =>
    once(recipe, async () => {
      const { args, of } = recipe;
      const wanted = String(args.path);
      const parent = required(of);
      if (parent.type === "Host") return await snapshot(wanted, await fresh());
      const top = parent.type === "Container" ? (await container(parent, signal)).root : await path(parent, signal);
      return await inside(top, wanted, recipe.type);
    });

  const write = async (file: Recipe, target: string, signal: AbortSignal): Promise<string> => {
    const made = await path(file, signal);
    signal.throwIfAborted();
    await copyFile(made, target);
    return target;
  };

  return {
    async value({ call, args, of }, signal) {
      const type = of?.type ?? "Query";
      if (call === "version") return options.version;
      if (call === "defaultPlatform") return options.platform;
      const source = required(of);
      if (type === "File" && call === "export") return await write(source, String(args.path), signal);
      if (type === "Container" && call === "stdout") return (await container(source, signal)).result?.stdout ?? "";
      throw new Error(`this server has no ${type}.${call}`);
    },
  };
}

function required(recipe: Recipe | undefined): Recipe {
  if (recipe === undefined) throw new Error("a call on nothing");
  return recipe;
}

/** Like the real engine: what comes from the client's machine belongs to root and keeps its mode. */
async function snapshot(from: string, folder: string): Promise<string> {
  const target = join(folder, "content");
  await cp(from, target, { recursive: true, verbatimSymlinks: true, preserveTimestamps: true });
  return target;
}

/** A path below `top` that no link leads out of. */
async function inside(top: string, wanted: string, type: Recipe["type"]): Promise<string> {
  const found = await realpath(join(top, wanted));
  if (relative(await realpath(top), found).startsWith("..")) throw new Error(`${wanted}: outside`);
  const stats = await lstat(found);
  if (type === "File" ? !stats.isFile() : !stats.isDirectory()) throw new Error(`${wanted}: not a ${type}`);
  return found;
}
