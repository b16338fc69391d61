import type { Sha256 } from "@secai/formats/digest";
import type { BlobStore } from "../engine/blob-store.ts";
import type { FetchFile } from "../step.ts";
import { FetchError, PackagesGoneError } from "./errors.ts";
import { createHttpClient } from "./http.ts";
import type { Mirrors } from "./mirrors.ts";
import { openPartial } from "./partial.ts";
import { withRegistryTokens } from "./registry.ts";
import { type TransferOptions, transfer } from "./transfer.ts";

/** Transfers at once: more do not help with one mirror, and are impolite. */
const PARALLEL = 6;

export interface FetchOptions {
  readonly signal?: AbortSignal;
  /** Told how many bytes of all files are in the store or on the way. */
  readonly onBytes?: (done: number, total: number) => void;
}

/**
 * Brings files into the store, each checked against its digest before it gets there. Files that are there already cost nothing.
 * @throws FetchError; PackagesGoneError (LOCK_PACKAGE_GONE) after every file that can be had was fetched
 */
export type Fetcher = (files: readonly FetchFile[], blobs: BlobStore, options: FetchOptions) => Promise<void>;

export interface FetcherOptions {
  readonly mirrors: Mirrors;
  /** Where http_proxy, https_proxy and no_proxy stand; default: the environment. */
  readonly proxyEnv?: NodeJS.ProcessEnv;
  /** Tries at each mirror; default 4. */
  readonly attempts?: number;
  /** Wait before the second try, in ms, doubled for each after it; default 500. */
  readonly backoffMs?: number;
}

function unique(files: readonly FetchFile[]): FetchFile[] {
  return [...new Map(files.map((file) => [file.sha256, file])).values()];
}

/** Sums up what single transfers report. */
function createMeter(files: readonly FetchFile[], onBytes: FetchOptions["onBytes"]) {
  const total = files.reduce((sum, { size }) => sum + size, 0);
  const sizes = new Map<Sha256, number>();
  let done = 0;
  return ({ sha256 }: FetchFile, size: number): void => {
    done += size - (sizes.get(sha256) ?? 0);
    sizes.set(sha256, size);
    onBytes?.(done, total);
  };
}

/** A mirror that sends the wrong thing is worse news than one that sends nothing. */
function worse(a: unknown, b: unknown): unknown {
  return a instanceof FetchError && a.exit === 1 ? a : b;
}

function bases(mirrors: Mirrors, { archive }: FetchFile): readonly string[] {
  const found = mirrors[archive] ?? [];
  if (found.length > 0) return found;
  throw new FetchError("FETCH_MIRROR_UNKNOWN", { expected: `a mirror of the archive "${archive}"`, actual: "none" });
}

/** @returns whether some mirror had it */
async function fetchOne(file: FetchFile, mirrors: Mirrors, blobs: BlobStore, options: TransferOptions): Promise<boolean> {
  const partial = await openPartial(blobs.partialPath(file.sha256), file.size);
  let failure: unknown;
  try {
    for (const base of bases(mirrors, file)) {
      try {
        if ((await transfer(base + encodeURI(file.path), file, partial, options)) === "absent") continue;
        await blobs.commit(file.sha256, partial.path);
        await partial.close();
        return true;
      } catch (error) {
        if (options.signal.aborted) throw error;
        failure = worse(failure, error);
      }
    }
  } catch (error) {
    await partial.keep();
    throw error;
  }
  await partial.keep();
  if (failure !== undefined) throw failure;
  return false;
}

/** Runs `work` over `items`, `PARALLEL` at a time; the first failure stops the rest and is thrown when all have stopped. */
async function pool<T>(items: readonly T[], controller: AbortController, work: (item: T) => Promise<void>): Promise<void> {
  const queue = [...items];
  const failures: unknown[] = [];
  const worker = async (): Promise<void> => {
    for (let item = queue.shift(); item !== undefined && !controller.signal.aborted; item = queue.shift()) {
      try {
        await work(item);
      } catch (error) {
        failures.push(error);
        controller.abort(error);
      }
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, worker));
  if (failures.length > 0) throw failures[0];
  controller.signal.throwIfAborted();
}

/** A fetcher for the archives that `mirrors` names; where several mirrors stand, later ones are asked for what earlier ones lack. */
export function createFetcher({ mirrors, proxyEnv, attempts = 4, backoffMs = 500 }: FetcherOptions): Fetcher {
  return async (files, blobs, { signal, onBytes }) => {
    const wanted = unique(files);
    const meter = createMeter(wanted, onBytes);
    const missing: FetchFile[] = [];
    for (const file of wanted) {
      if (await blobs.has(file.sha256)) meter(file, file.size);
      else missing.push(file);
    }
    for (const file of missing) bases(mirrors, file);
    const controller = new AbortController();
    const stop = (): void => controller.abort(signal?.reason);
    if (signal?.aborted) stop();
    signal?.addEventListener("abort", stop, { once: true });
    const client = withRegistryTokens(createHttpClient(proxyEnv === undefined ? {} : { proxyEnv }));
    const gone = new Set<FetchFile>();
    try {
      await pool(missing, controller, async (file) => {
        const onSize = (size: number): void => meter(file, size);
        const options = { client, signal: controller.signal, attempts, backoffMs, onSize };
        if (!(await fetchOne(file, mirrors, blobs, options))) gone.add(file);
      });
    } finally {
      signal?.removeEventListener("abort", stop);
      client.close();
    }
    if (gone.size > 0) throw new PackagesGoneError(missing.filter((file) => gone.has(file)));
  };
}
