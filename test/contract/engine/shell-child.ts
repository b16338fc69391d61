// Opens the shell of a step that fails: shell-child CACHE_DIR
import { createLocalEngine } from "../../../pipelines/engine/local.ts";
import { output, planOf, scriptStep } from "./fixture.ts";

const [cacheDir = ""] = process.argv.slice(2);
const engine = createLocalEngine({
  cacheDir,
  top: cacheDir,
  fetcher: async () => {},
  keyring: (name) => name,
  programs: async (name) => name,
});
const plan = planOf([
  scriptStep("a", "echo from a > /out/result"),
  scriptStep("b", "exit 3", { inputs: { "/in/a": output("a") } }),
]);
process.exitCode = await engine.shell(plan, "b", { report: () => {} });
