// One measurement in a process of its own, printed as JSON:
//   start-child plan RECIPE                      makes the plan of a recipe
//   start-child local|dagger FOLDER [PORT TOKEN]   a build of many steps that are all in the cache but the last one
// `beforeMs` is from the start of Node to where the measured thing begins, `ms` what it took, `cpuMs` the processor time of this process in it.
import { enableCompileCache } from "node:module";
import { join } from "node:path";
import type { Engine } from "../../pipelines/engine/engine.ts";

const top = join(import.meta.dirname, "..", "..");
// As the command itself does.
enableCompileCache(join(top, "node_modules", ".compile-cache"));

/** As many steps as a recipe has. */
const CACHED_STEPS = 60;

function startWatch(): { readonly beforeMs: number; readonly sinceThen: () => object } {
  const beforeMs = performance.now();
  const cpu = process.cpuUsage();
  const sinceThen = () => {
    const { user, system } = process.cpuUsage(cpu);
    return { ms: performance.now() - beforeMs, cpuMs: (user + system) / 1000 };
  };
  return { beforeMs, sinceThen };
}

async function measurePlan(recipe: string): Promise<object> {
  const { prepareAny } = await import("../../pipelines/prepare.ts");
  const { beforeMs, sinceThen } = startWatch();
  await prepareAny({ top, recipe, env: process.env, notice: () => {} }, "show");
  return { beforeMs, ...sinceThen() };
}

async function createEngine(name: string, folder: string, [port = "", token = ""]: readonly string[]): Promise<Engine> {
  const workspace = { top: folder, cacheDir: join(folder, "cache"), keys: folder, programs: folder };
  const fetching = { fetcher: async () => {}, fetched: [] };
  if (name === "local") {
    const { localEngine } = await import("../contract/engine/local-engine.ts");
    return localEngine({ ...workspace, ...fetching });
  }
  const { daggerEngine, sessionEnv } = await import("../contract/engine/dagger-engine.ts");
  const env = sessionEnv({ port: Number(port), token });
  return daggerEngine({ ...workspace, ...fetching }, { env, hostToolsPath: join(folder, "tools") });
}

/** From the call to the moment when the step that is not in the cache begins to run. */
async function measureStart(name: string, folder: string, session: readonly string[]): Promise<object> {
  const { planOf, scriptStep } = await import("../contract/engine/fixture.ts");
  const cached = Array.from({ length: CACHED_STEPS }, (_, index) => scriptStep(`cached-${index}`, `echo ${index} > /out/result`));
  const fresh = scriptStep("fresh", `echo ${process.pid} ${Date.now()} > /out/result`);
  const engine = await createEngine(name, folder, session);
  const { beforeMs, sinceThen } = startWatch();
  let measured = {};
  await engine.run(planOf([...cached, fresh]), {
    report: (event) => {
      if (event.type === "step-started" && event.step === "fresh") measured = sinceThen();
    },
  });
  return { beforeMs, ...measured };
}

const [what = "", argument = "", ...session] = process.argv.slice(2);
const measured = what === "plan" ? await measurePlan(argument) : await measureStart(what, argument, session);
process.stdout.write(`${JSON.stringify(measured)}\n`);
