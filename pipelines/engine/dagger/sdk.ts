import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { sha256 } from "@secai/formats/digest";
import { runTool } from "../../run-tool.ts";
import { writeFileAtomically } from "../blob-store.ts";
import { EngineError } from "../errors.ts";
import { lockFile } from "../lock.ts";
import { DaggerError } from "./errors.ts";
import type { Session } from "./session.ts";
import { createTransport, type TransportOptions } from "./transport.ts";

// The part of @dagger.io/dagger 0.21.9 that is used, so that nobody needs the SDK to check or run the rest.

export interface SdkFile {
  /** Writes it to this machine; the answer is the path. */
  export(path: string): Promise<string>;
}
export interface SdkDirectory {
  directory(path: string): SdkDirectory;
}
export interface SdkSecret {
  uri(): Promise<string>;
}
export interface SdkCacheVolume {
  id(): Promise<string>;
}
export interface SdkContainer {
  from(reference: string): SdkContainer;
  withRootfs(directory: SdkDirectory): SdkContainer;
  withMountedDirectory(path: string, source: SdkDirectory): SdkContainer;
  withMountedFile(path: string, source: SdkFile): SdkContainer;
  withMountedSecret(path: string, source: SdkSecret): SdkContainer;
  withMountedCache(path: string, cache: SdkCacheVolume, options?: { readonly sharing?: "LOCKED" }): SdkContainer;
  withEnvVariable(name: string, value: string): SdkContainer;
  withExec(args: readonly string[], options?: { readonly insecureRootCapabilities?: boolean }): SdkContainer;
  directory(path: string): SdkDirectory;
  file(path: string): SdkFile;
  stdout(): Promise<string>;
}
export interface SdkClient {
  version(): Promise<string>;
  defaultPlatform(): Promise<string>;
  container(): SdkContainer;
  host(): { directory(path: string): SdkDirectory; file(path: string): SdkFile };
  cacheVolume(key: string): SdkCacheVolume;
  secret(uri: string, options?: { readonly cacheKey?: string }): SdkSecret;
}

interface Sdk {
  readonly Client: new (context: unknown) => SdkClient;
  readonly Context: new (tree: readonly unknown[], connection: unknown) => unknown;
  readonly GraphQLClient: new (url: string, options: object) => unknown;
}

/** What a failed exec carries, besides a message that is not used. */
export interface SdkExecError {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

const SDK_FOLDER = join(import.meta.dirname, "sdk");
const INSTALL_LIMIT_MS = 10 * 60_000;
const ENTRY = "node_modules/@dagger.io/dagger/dist/src/index.js";

/**
 * Loads the SDK, installing it at first use: it is 191 packages and 160 MB that no other command needs, see docs/decisions/0009.
 * @param notice told in one line when it is installed
 * @throws DaggerError DAGGER_SDK_MISSING, DAGGER_SDK_UNKNOWN
 */
export async function loadSdk(notice: (line: string) => void, signal: AbortSignal, folder: string = SDK_FOLDER): Promise<Sdk> {
  await installSdk(notice, signal, folder);
  const module: unknown = await import(pathToFileURL(join(folder, ENTRY)).href).catch(() => undefined);
  return parseSdk(module);
}

function parseSdk(module: unknown): Sdk {
  const names = ["Client", "Context", "GraphQLClient"] as const;
  const exports = Object(module) as Record<string, unknown>;
  const missing = names.filter((name) => typeof exports[name] !== "function");
  if (missing.length > 0)
    throw new DaggerError("DAGGER_SDK_UNKNOWN", { expected: `exports ${names.join(", ")}`, actual: `no ${missing.join(", ")}` });
  return exports as unknown as Sdk;
}

/** `npm ci` of the SDK's own lock, once, under a lock of the kernel; a stamp says which lock is installed. */
async function installSdk(notice: (line: string) => void, signal: AbortSignal, folder: string): Promise<void> {
  const wanted = sha256(readFileSync(join(folder, "package-lock.json"), "utf8"));
  const stamp = join(folder, "node_modules", ".secai-lock");
  const installed = (): boolean => existsSync(stamp) && readFileSync(stamp, "utf8") === wanted && existsSync(join(folder, ENTRY));
  if (installed()) return;
  const lock = await lockFile(join(folder, "install.lock"), signal);
  try {
    if (installed()) return;
    notice("installing the Dagger SDK, once (locked npm packages, install scripts off, 160 MB)");
    await npmInstall(folder, signal);
    await writeFileAtomically(stamp, wanted);
  } finally {
    await lock.release();
  }
}

async function npmInstall(folder: string, signal: AbortSignal): Promise<void> {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(INSTALL_LIMIT_MS)]);
  const args = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", folder];
  const { status, stderr } = await runTool("npm", args, process.env, limit).catch((error: Error) => ({
    status: -1,
    stderr: error.message,
  }));
  if (signal.aborted) throw new EngineError("BUILD_CANCELLED");
  if (status !== 0)
    throw new DaggerError("DAGGER_SDK_MISSING", {
      expected: "`npm ci` to install the Dagger SDK",
      actual: limit.aborted ? "no end within 10 minutes" : (stderr.trim().split("\n").at(-1)?.slice(0, 300) ?? ""),
    });
}

/** A client of an open session whose every query ends with the signal or at the limit. */
export function createClient({ Client, Context, GraphQLClient }: Sdk, session: Session, options: TransportOptions): SdkClient {
  const graphql = new GraphQLClient(`http://127.0.0.1:${session.port}/query`, {
    fetch: createTransport(options),
    headers: { Authorization: `Basic ${Buffer.from(`${session.token}:`).toString("base64")}` },
  });
  return new Client(new Context([], { getGQLClient: () => graphql }));
}

/** The part of an SDK error that says what a program did; undefined for every other error. */
export function execErrorOf(error: unknown): SdkExecError | undefined {
  const { exitCode, stdout, stderr } = Object(error) as Record<string, unknown>;
  return typeof exitCode === "number" && typeof stdout === "string" && typeof stderr === "string"
    ? { exitCode, stdout, stderr }
    : undefined;
}
