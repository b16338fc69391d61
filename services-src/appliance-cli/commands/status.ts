import { type Command, type Exit, type Invocation, worst } from "../command.ts";
import { cell } from "../output.ts";
import { allChecks } from "./checks.ts";

async function run({ machine, out }: Invocation): Promise<Exit> {
  const checks = await allChecks(machine);
  out.table(
    ["WHAT", "IS", "NEXT"],
    checks.map(({ what, says, mood, next }) => [what, cell(says, mood), next ?? ""]),
  );
  const explained = checks.filter(({ why }) => why !== undefined);
  if (explained.length > 0) out.line("");
  for (const { what, why } of explained) out.line(`${what}: ${why ?? ""}`);
  const exit = worst(checks.map((one) => one.exit));
  out.value({
    ok: exit === 0,
    checks: checks.map(({ what, says, exit: code, next, why }) => ({
      what,
      says,
      ok: code === 0,
      next: next ?? null,
      why: why ?? null,
    })),
  });
  return exit;
}

export const statusCommand: Command = {
  name: "status",
  summary: "how this appliance is, in one table",
  help: `secai status [--json]

Asks every service whether it is up and what it says, and names the next step of whatever is not well. Exit status: 0 all is well, 1 something
says no, 3 something does not answer.

  secai status
  secai status --json | jq .ok
`,
  flags: [],
  run,
};
