import { readdir } from "node:fs/promises";
import type { Command, Exit, Invocation } from "../command.ts";
import { CliError } from "../errors.ts";
import { cell } from "../output.ts";
import { vaultState } from "./status.ts";

async function run({ machine, out, words }: Invocation): Promise<Exit> {
  const [verb = "status", ...rest] = words;
  if (verb !== "status" || rest.length > 0)
    throw new CliError("CLI_USAGE", {
      expected: "status",
      actual: words.join(" "),
      fix: "Lock, unlock and setup are `vault-ctl`'s.",
    });
  const state = await vaultState(machine.runtime("vault-state"));
  const latches = (await readdir(machine.state("vault-control/vault-latches")).catch(() => []))
    .filter((name) => !name.endsWith(".new"))
    .sort();
  out.table(["VAULT", "NEXT"], [[cell(state, state === "error" ? "bad" : "plain"), nextStep(state, latches)]]);
  for (const incident of latches) out.line(`kept closed by ${incident}`);
  out.value({ state, latches });
  return state === "error" ? 1 : state === "unknown" ? 3 : 0;
}

function nextStep(state: string, latches: readonly string[]): string {
  if (latches.length > 0) return `secai recover ${latches[0] ?? ""}`;
  if (state === "locked") return "vault-ctl unlock";
  if (state === "setup_required") return "vault-ctl setup --help";
  return state === "error" ? "vault-ctl lock" : "";
}

export const vaultCommand: Command = {
  name: "vault",
  summary: "whether the vault is open, and what keeps it closed",
  help: `secai vault [status]

What the vault's broker said last. "unknown": it has not been asked to do anything since the machine started. By hand: vault-ctl --help.

  secai vault
`,
  flags: [],
  run,
};
