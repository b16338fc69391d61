// The fixture build as whoever runs this, in a user namespace if that is not uid 0: namespace-child CACHE_DIR
import { CodedError } from "../../../attest/formats/errors.ts";
import { createLocalEngine } from "../../../pipelines/engine/local.ts";
import { isMachineRoot, reenterAsRoot } from "../../../pipelines/engine/user-namespace.ts";
import { ownersPlan } from "./owners-plan.ts";

const [cacheDir = "", how = "reenter"] = process.argv.slice(2);

async function build(): Promise<void> {
  const engine = createLocalEngine({
    cacheDir,
    top: cacheDir,
    fetcher: async () => {},
    keyring: (name) => name,
    programs: async (name) => name,
  });
  const { records } = await engine.run(ownersPlan, { report: () => {} });
  process.stdout.write(JSON.stringify({ machineRoot: isMachineRoot(), outputs: records.map(({ outputs }) => outputs) }));
}

try {
  const program = process.argv[1] ?? "";
  const status = how === "reenter" ? await reenterAsRoot([process.execPath, program, cacheDir]) : undefined;
  if (status === undefined) await build();
  else process.exitCode = status;
} catch (error) {
  if (!(error instanceof CodedError)) throw error;
  process.stdout.write(JSON.stringify({ code: error.code }));
}
