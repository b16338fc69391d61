import { randomUUID } from "node:crypto";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { EngineError } from "../errors.ts";
import { type ExecuteContext, localRunner, type PreparedStep, type StepRunner, sandboxOf } from "../execute.ts";
import { mountsIdentity, mountsOf } from "../mounts.ts";
import type { ResolvedStep } from "../resolve.ts";
import { type Bind, sandboxCommand } from "../sandbox.ts";
import { answerOf, printable, textOf } from "./answers.ts";
import type { Connection, StepClient } from "./connection.ts";
import { DaggerError } from "./errors.ts";
import { PACK_OPTIONS, pack, unpack } from "./pack.ts";
import { PLACE, packedAt, RESULT_FILE, STATUS_MARK, sendPack, stepArguments } from "./remote.ts";
import { execErrorOf, type SdkContainer, type SdkDirectory } from "./sdk.ts";

export interface DaggerRunnerOptions {
  /** Opened by the first step that must run; closed by whoever made it. */
  readonly connection: Connection;
  /** A tree that stands for the tools of {kind: "host"}; default: such steps run on this machine, whose tools they ask for. */
  readonly hostToolsPath?: string;
}

/** Runs a step as a container of a Dagger engine, in the same bubblewrap sandbox as the local engine does. */
export function createDaggerRunner({ connection, hostToolsPath }: DaggerRunnerOptions): StepRunner {
  const trees = createTrees(connection);
  const runsHere = (context: ExecuteContext): boolean => context.step.tools.kind === "host" && hostToolsPath === undefined;
  return {
    check: async () => {},
    async prepare(context, resolved) {
      if (runsHere(context)) {
        await localRunner.check();
        return await localRunner.prepare(context, resolved);
      }
      const client = (await connection.open())(context.signal);
      return await prepareThere(context, resolved, { ...client, trees, hostToolsPath });
    },
  };
}

/** Folders of this machine, sent once. */
type Trees = (source: string, temporary: string, signal: AbortSignal) => Promise<SdkDirectory>;

function createTrees(connection: Connection): Trees {
  const sent = new Map<string, Promise<SdkDirectory>>();
  const send: Trees = async (source, temporary, signal) => {
    const packed = await pack(source, join(temporary, `pack-${randomUUID()}.tar`), signal);
    const { client, launcher } = (await connection.open())(signal);
    return sendPack(client, launcher, packed);
  };
  return (source, temporary, signal) => {
    const known = sent.get(source) ?? send(source, temporary, signal);
    sent.set(source, known);
    return known;
  };
}

/** What a step on the runner needs besides itself. */
interface There extends StepClient {
  readonly trees: Trees;
  readonly hostToolsPath: string | undefined;
}

async function prepareThere(context: ExecuteContext, { key }: ResolvedStep, there: There): Promise<PreparedStep> {
  const { trees, hostToolsPath } = there;
  const spec = await sandboxOf(context);
  const treeRoot = spec.root.kind === "tree" ? spec.root.path : hostToolsPath;
  if (treeRoot === undefined) throw new EngineError("PLAN_INVALID", { expected: "a tree of tools", actual: "none" });
  const { container, binds } = await mountBinds(context, key, there, spec.binds);
  const toolsAt = `${PLACE}/tools`;
  const kept = await mountCaches(context, there, container);
  const withTools = kept.container.withMountedDirectory(toolsAt, await trees(treeRoot, context.temporary, context.signal));
  const root = { kind: "tree", path: treeRoot, seenAt: packedAt(toolsAt) } as const;
  const command = sandboxCommand({ ...spec, root, binds: [...scratch, ...binds, ...kept.binds] }, 0);
  const done = withTools
    .withEnvVariable("SECAI_STEP", key)
    .withExec(stepArguments(PACK_OPTIONS, command), { insecureRootCapabilities: true });
  return { engine: "dagger", run: (folder, logPath) => runThere(done, context, folder, logPath) };
}

const scratch: readonly Bind[] = ["out", "tmp"].map((name) => ({
  src: `${PLACE}/step/${name}`,
  dst: `/${name}`,
  writable: true,
}));

/** Puts what the step reads into the container; the binds say where it is there. A secret travels as a Dagger secret, by name only. */
async function mountBinds(
  { step, temporary, signal }: ExecuteContext,
  key: string,
  { client, launcher, trees }: There,
  wanted: readonly Bind[],
): Promise<{ container: SdkContainer; binds: Bind[] }> {
  let container = launcher;
  const binds: Bind[] = [];
  for (const [index, bind] of wanted.entries()) {
    const secret = step.secrets[bind.dst];
    if (secret === undefined) {
      const place = `${PLACE}/in/${index}`;
      container = container.withMountedDirectory(place, await trees(bind.src, temporary, signal));
      binds.push({ ...bind, src: packedAt(place) });
    } else {
      const place = `${PLACE}/secrets/${index}`;
      // The URI is resolved by the client of this machine; the content is in no query. Two secrets are the same when their identity is.
      const source = client.secret(`file://${bind.src}`, { cacheKey: `${secret.identity} ${key}` });
      container = container.withMountedSecret(place, source);
      binds.push({ ...bind, src: place });
    }
  }
  return { container, binds };
}

/** Folders kept between runs are volumes of the engine, this cache's own, one step at a time in each. */
async function mountCaches(
  { cache, step }: ExecuteContext,
  { client }: There,
  before: SdkContainer,
): Promise<{ container: SdkContainer; binds: Bind[] }> {
  let container = before;
  const binds: Bind[] = [];
  for (const { name, path } of mountsOf(step)) {
    const src = `${PLACE}/caches/${name}`;
    const volume = client.cacheVolume(`secai-${await mountsIdentity(cache)}-${name}`);
    container = container.withMountedCache(src, volume, { sharing: "LOCKED" });
    binds.push({ src, dst: path, writable: true });
  }
  return { container, binds };
}

async function runThere(done: SdkContainer, { step, signal }: ExecuteContext, folder: string, logPath: string): Promise<number> {
  const packed = join(folder, "out.tar");
  try {
    await answerOf(done.file(RESULT_FILE).export(packed), `step ${step.id}`);
    await writeFile(logPath, await textOf(done.stdout(), `the log of step ${step.id}`));
  } catch (error) {
    const failed = execErrorOf(error);
    if (failed === undefined) throw error;
    await writeFile(logPath, failed.stdout);
    return statusOf(failed.stderr, step.id);
  }
  await unpack(packed, join(folder, "out"), signal);
  await rm(packed);
  return 0;
}

/** @throws DaggerError DAGGER_QUERY_FAILED when not the step's program but the launcher around it failed */
function statusOf(stderr: string, step: string): number {
  const status = new RegExp(`^${STATUS_MARK} (?<status>\\d{1,3})$`, "m").exec(stderr)?.groups?.status;
  if (status === undefined)
    throw new DaggerError("DAGGER_QUERY_FAILED", {
      expected: `step ${step} to be started and its outputs packed`,
      actual: printable(stderr),
    });
  return Number(status);
}
