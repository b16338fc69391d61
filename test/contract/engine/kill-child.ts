// One build of the fixture plan, in a process of its own so that a test can kill it: kill-child CACHE_DIR SALT
import { createLocalEngine } from "../../../pipelines/engine/local.ts";
import { killPlan } from "./kill-plan.ts";

const [cacheDir = "", salt = ""] = process.argv.slice(2);
const engine = createLocalEngine({
  cacheDir,
  top: cacheDir,
  fetcher: async () => {},
  keyring: (name) => name,
  programs: async (name) => name,
});
const { records } = await engine.run(killPlan(salt), { report: ({ type }) => void process.stderr.write(`${type}\n`) });
process.stdout.write(JSON.stringify(records.map(({ id, cached, outputs }) => ({ id, cached, outputs }))));
