import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { printable, textOf } from "./answers.ts";
import { findEngine } from "./discover.ts";
import { DaggerError } from "./errors.ts";
import { type Launcher, makeLauncher } from "./launcher.ts";
import { probe } from "./probe.ts";
import { createClient, loadSdk, type SdkClient, type SdkContainer } from "./sdk.ts";
import { DEFAULT_SESSION_LIMITS, openSession, type Session, type SessionLimits } from "./session.ts";

/** An engine that was found to be fit: right platform, shut sandbox. */
export type Opened = (signal: AbortSignal) => StepClient;

/** What one step sends its queries with: all of them end with the step's own signal. */
export interface StepClient {
  readonly client: SdkClient;
  /** A container with the programs that make sandboxes and move trees. */
  readonly launcher: SdkContainer;
}

export interface Connection {
  /** The same for every caller. */
  open(): Promise<Opened>;
  /** Ends the session if it is ours. Never throws. */
  close(): Promise<void>;
}

export interface ConnectionOptions {
  readonly env: NodeJS.ProcessEnv;
  readonly launcher: Launcher;
  /** Private folder of the run. */
  readonly temporary: string;
  readonly signal: AbortSignal;
  readonly notice: (line: string) => void;
  /** Longest time for one step, in ms. */
  readonly stepLimitMs: number;
  readonly sessionLimits?: SessionLimits;
}

/** For questions that no work hangs on. */
const QUESTION_LIMIT_MS = 60_000;
/** For the launcher to be sent or loaded and the probe to run. */
const PROBE_LIMIT_MS = 300_000;

/** Connects when somebody first asks, so that a build from the cache neither loads the SDK nor starts an engine. */
export function createConnection(options: ConnectionOptions): Connection {
  let session: Promise<Session> | undefined;
  let opened: Promise<Opened> | undefined;
  const open = async (): Promise<Opened> => {
    const { env, signal, notice, sessionLimits = DEFAULT_SESSION_LIMITS } = options;
    const endpoint = findEngine(env);
    const sdk = await loadSdk(notice, signal);
    session = openSession(endpoint, env, signal, sessionLimits);
    const ready = await session;
    const clientFor = (limitMs: number, until = signal) => createClient(sdk, ready, { signal: until, limitMs });
    const folder = join(options.temporary, "launcher");
    if (options.launcher.kind === "host") await makeFolder(folder);
    await checkEngine(clientFor(QUESTION_LIMIT_MS), notice);
    await probe(launcherOf(clientFor(PROBE_LIMIT_MS), options.launcher, folder));
    return (stepSignal) => {
      const client = clientFor(options.stepLimitMs, stepSignal);
      return { client, launcher: launcherOf(client, options.launcher, folder) };
    };
  };
  return {
    open() {
      opened ??= open();
      return opened;
    },
    async close() {
      const ours = await session?.catch(() => undefined);
      await ours?.close();
    },
  };
}

async function makeFolder(folder: string): Promise<void> {
  await mkdir(folder, { mode: 0o755 });
  await makeLauncher(folder);
}

function launcherOf(client: SdkClient, launcher: Launcher, folder: string): SdkContainer {
  const base =
    launcher.kind === "image"
      ? client.container().from(launcher.reference)
      : client.container().withRootfs(client.host().directory(folder));
  return base.withEnvVariable("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
}

const PLATFORMS: Readonly<Record<string, string>> = { x64: "linux/amd64", arm64: "linux/arm64" };

/** @throws DaggerError DAGGER_PLATFORM, DAGGER_QUERY_FAILED */
async function checkEngine(client: SdkClient, notice: (line: string) => void): Promise<void> {
  const version = printable(await textOf(client.version(), "the question for the engine's version"));
  const platform = printable(await textOf(client.defaultPlatform(), "the question for the engine's platform"));
  const expected = PLATFORMS[process.arch] ?? process.arch;
  // "linux/arm64/v8" is arm64 too.
  if (platform !== expected && !platform.startsWith(`${expected}/`))
    throw new DaggerError("DAGGER_PLATFORM", { expected, actual: platform });
  notice(`Dagger engine ${version} on ${platform}`);
}
