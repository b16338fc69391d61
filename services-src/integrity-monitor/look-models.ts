import { lstatSync, readdirSync } from "node:fs";
import { Count, closed, Digest } from "@secai/kit/api/common";
import { HttpError, KitError } from "@secai/kit/errors";
import { readBounded } from "@secai/kit/files";
import { parseStrictJson } from "@secai/kit/json";
import { shape } from "@secai/kit/schema";
import type { Clock } from "@secai/kit/sources";
import { Type } from "@sinclair/typebox";
import { type DirectoryOutcome, directoryIdentity, hashDirectory } from "./directory-hash.ts";
import type { HashCache, Known } from "./hash-cache.ts";
import type { Hasher } from "./hash-file.ts";
import { foundAt, nearestFolder } from "./listing.ts";
import type { Look } from "./look.ts";
import type { MonitorPolicy } from "./policy.ts";
import { type Kind, type Violation, violation } from "./violation.ts";

const MAX_MANIFEST_BYTES = 16 << 20;
const MAX_MODELS = 10_000;
/** What the registry copies to before it renames; a copy takes minutes and is no model yet. */
const TEMPORARY = /^\.promotion-/;
/** A promotion or a quarantine renames first and writes the manifest then: what disagrees is looked at again before it is believed, in ms. */
const GRACE_MS = 1_000;

/** One component, no path: neither "." nor ".." nor anything hidden. */
const FileName = Type.String({ pattern: "^[^./\\u0000-\\u001f\\u007f][^/\\u0000-\\u001f\\u007f]*$", maxLength: 255 });
const Line = Type.String({ pattern: "^[^\\u0000-\\u001f\\u007f]+$", maxLength: 512 });

/** The registry's manifest, as far as it says what must lie in its folder; the registry checks the rest. */
const Manifest = Type.Object(
  {
    version: Type.Literal(1),
    // What else the registry knows of a model is its business.
    models: Type.Array(Type.Object({ name: Line, filename: FileName, sha256: Digest, size_bytes: Count }), {
      maxItems: MAX_MODELS,
    }),
  },
  closed,
);
const manifestShape = shape("registry manifest", Manifest);

interface Model {
  readonly name: string;
  readonly filename: string;
  readonly sha256: string;
  readonly size_bytes: number;
}

export interface ModelParts {
  readonly prefix: string;
  readonly cache: Pick<HashCache, "digest">;
  readonly clock: Clock;
  readonly hasher: Hasher;
}

type Digested = Known | DirectoryOutcome;

interface Suspicion {
  readonly path: string;
  readonly kind: Kind;
  readonly expected: string;
  readonly actual: string;
  readonly model?: string;
  /** A state that a promotion passes through. */
  readonly passing: boolean;
}

export interface ModelLook {
  look(rules: MonitorPolicy["models"]): Promise<Look>;
  /** Hashes one model that is a directory and is not known, or not read for `ageMs`. False when there is none. */
  work(ageMs: number, pace: Hasher["pace"]): Promise<boolean>;
  /** Directories whose digest is not known yet. */
  waiting(): number;
}

interface KnownDirectory {
  readonly identity: string;
  /** Undefined until it was read. */
  readonly outcome?: DirectoryOutcome;
  /** Monotonic. */
  readonly atMs: number;
}

/** Compares what lies in the model folders with what the registry says it promoted. A folder that is not there is a locked vault. */
export function createModelLook(parts: ModelParts): ModelLook {
  const directories = new Map<string, KnownDirectory>();
  let suspected = new Map<string, number>();

  async function digestOf(path: string): Promise<Digested> {
    const stat = lstatSync(parts.prefix + path, { bigint: true });
    if (!stat.isDirectory()) return parts.cache.digest(foundAt(path, stat));
    const identity = directoryIdentity(parts.prefix + path);
    if (typeof identity !== "string") return identity;
    const known = directories.get(path);
    if (known?.identity === identity && known.outcome !== undefined) return known.outcome;
    directories.set(path, { identity, atMs: Number.NEGATIVE_INFINITY });
    return "pending";
  }

  async function judge(path: string, model: Model | undefined): Promise<Suspicion | undefined> {
    const name = model === undefined ? {} : { model: model.name };
    if (model === undefined)
      return { path, kind: "unregistered", expected: "a model of the manifest", actual: "another", passing: true };
    let state: Digested;
    try {
      state = await digestOf(path);
    } catch (error) {
      const { code = "" } = error as NodeJS.ErrnoException;
      if (code !== "ENOENT") throw error;
      return { path, kind: "missing", expected: model.sha256, actual: "not there", ...name, passing: true };
    }
    if (state === "pending") return undefined;
    if ("fault" in state)
      return {
        path,
        kind: state.fault === "linked" ? "linked" : "unreadable",
        expected: model.sha256,
        actual: state.detail,
        ...name,
        passing: false,
      };
    return state.sha256 === model.sha256
      ? undefined
      : { path, kind: "changed", expected: model.sha256, actual: state.sha256, ...name, passing: false };
  }

  async function suspicionsIn(folder: string, models: readonly Model[]): Promise<readonly Suspicion[]> {
    const entries = readdirSync(parts.prefix + folder).filter((name) => !TEMPORARY.test(name) && name !== "manifest.json");
    const listed = new Map(models.map((model) => [model.filename, model]));
    const found: Suspicion[] = [];
    for (const name of new Set([...entries.slice(0, MAX_MODELS), ...listed.keys()])) {
      const suspicion = await judge(`${folder}/${name}`, listed.get(name));
      if (suspicion !== undefined) found.push(suspicion);
    }
    return found;
  }

  async function look({ directories: folders, manifest }: MonitorPolicy["models"]): Promise<Look> {
    const there = folders.filter((folder) => isDirectory(parts.prefix + folder));
    const watched = [...there, ...[...folders, manifest].map((path) => nearestFolder(parts.prefix, path))];
    if (there.length === 0) return { violations: [], folders: watched };
    const models = await readManifest(parts.prefix + manifest);
    if (typeof models === "string")
      return { violations: [violation("model_file", manifest, "manifest", "a manifest of version 1", models)], folders: watched };
    const suspicions: Suspicion[] = [];
    for (const folder of there) suspicions.push(...(await suspicionsIn(folder, models)));
    const now = parts.clock.monotonicMs();
    suspected = new Map(suspicions.map(({ path, kind }) => [`${kind} ${path}`, suspected.get(`${kind} ${path}`) ?? now]));
    const sure = suspicions.filter(
      ({ path, kind, passing }) => !passing || now - (suspected.get(`${kind} ${path}`) ?? now) >= GRACE_MS,
    );
    return {
      violations: sure.map(toViolation),
      folders: watched,
      ...(sure.length < suspicions.length ? { againMs: GRACE_MS } : {}),
    };
  }

  return {
    look,
    waiting: () => [...directories.values()].filter(({ outcome }) => outcome === undefined).length,
    async work(ageMs, pace) {
      const limit = parts.clock.monotonicMs() - ageMs;
      const [path, { identity }] = [...directories].find(([, { atMs }]) => atMs <= limit) ?? ["", { identity: "" }];
      if (path === "") return false;
      const hasher = { ...parts.hasher, ...(pace === undefined ? {} : { pace }) };
      try {
        directories.set(path, {
          identity,
          outcome: await hashDirectory(parts.prefix + path, hasher),
          atMs: parts.clock.monotonicMs(),
        });
      } catch (error) {
        directories.delete(path);
        // Gone meanwhile: the next look says so.
        if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      }
      return true;
    },
  };
}

function toViolation({ path, kind, expected, actual, model }: Suspicion): Violation {
  return violation("model_file", path, kind, expected, actual, model);
}

function isDirectory(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

/** The models, or in a few words what is wrong with the file. No manifest at all: no models, so whatever lies there is one too many. */
async function readManifest(path: string): Promise<readonly Model[] | string> {
  if (lstatSync(path, { throwIfNoEntry: false }) === undefined) return [];
  let value: unknown;
  try {
    value = parseStrictJson(await readBounded(path, MAX_MANIFEST_BYTES));
  } catch (error) {
    if (error instanceof KitError || error instanceof HttpError) return error.code;
    throw error;
  }
  if (!manifestShape.is(value)) return manifestShape.problems(value, 1)[0]?.message ?? "another shape";
  const names = new Set(value.models.map(({ filename }) => filename));
  return names.size === value.models.length ? value.models : "a file name twice";
}
