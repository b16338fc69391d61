// Builds one step with the Dagger engine that the environment names: dagger-child HOST_TOOLS
import { CodedError } from "../../../attest/formats/errors.ts";
import { daggerEngine } from "./dagger-engine.ts";
import { planOf, scriptStep, withWorkspace } from "./fixture.ts";

const [hostToolsPath = ""] = process.argv.slice(2);
await withWorkspace(async (workspace) => {
  const engine = daggerEngine(workspace, { env: process.env, hostToolsPath });
  const outcome = await engine.run(planOf([scriptStep("a", "touch /out/result")]), { report: () => {} }).then(
    () => ({ built: true }),
    (error: unknown) => ({ code: error instanceof CodedError ? error.code : String(error) }),
  );
  process.stdout.write(JSON.stringify(outcome));
});
