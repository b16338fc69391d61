import { readdir } from "node:fs/promises";
import { readBounded } from "@secai/kit/files";
import type { Command, Exit, Invocation } from "../command.ts";
import { CliError } from "../errors.ts";
import type { Machine } from "../machine.ts";
import { cell } from "../output.ts";

const MAX_STATE_BYTES = 4096;

async function run({ machine, out, words }: Invocation): Promise<Exit> {
  const [verb = "status", ...rest] = words;
  if (verb !== "status" || rest.length > 0)
    throw new CliError("CLI_USAGE", {
      expected: "status",
      actual: words.join(" "),
      fix: "Lock, unlock and setup are `vault-ctl`'s.",
    });
  const seen = await lookAtVault(machine);
  const { state, detail, latches } = seen;
  out.table(["VAULT", "NEXT"], [[cell(state, state === "error" ? "bad" : "plain"), nextStep(seen)]]);
  for (const incident of latches) out.line(`kept closed by ${incident}`);
  if (state === "error" && detail !== undefined) out.line(`the broker says: ${detail}`);
  out.value({ state, latches });
  return state === "error" ? 1 : state === "unknown" ? 3 : 0;
}

export interface Vault {
  readonly state: "unlocked" | "locked" | "setup_required" | "error" | "unknown";
  /** What the broker did last. */
  readonly detail: string | undefined;
  /** Incidents that keep it closed, the first first. */
  readonly latches: readonly string[];
}

/** As the vault's broker wrote it, at boot and whenever it did something; and the latches it keeps. */
export async function lookAtVault(machine: Machine): Promise<Vault> {
  const text = await readBounded(machine.runtime("vault-state"), MAX_STATE_BYTES).catch(() => Buffer.alloc(0));
  const names = await readdir(machine.state("vault-control/vault-latches")).catch(() => []);
  return { ...parseState(text.toString()), latches: names.filter((name) => !name.endsWith(".new")).sort() };
}

function parseState(text: string): Pick<Vault, "state" | "detail"> {
  const [, state] = /"state":"(unlocked|locked|setup_required|error)"/.exec(text) ?? [];
  const [, detail] = /"detail":"([^"\\]{1,200})"/.exec(text) ?? [];
  return { state: (state ?? "unknown") as Vault["state"], detail };
}

/** What opens or mends it; "" where there is nothing to do. */
export function nextStep({ state, latches }: Pick<Vault, "state" | "latches">): string {
  if (latches.length > 0) return `secai recover ${latches[0] ?? ""}`;
  if (state === "unknown") return "systemctl status secure-ai-vault-broker.service";
  if (state === "locked") return "vault-ctl unlock";
  if (state === "setup_required") return "vault-ctl setup --help";
  return state === "error" ? "vault-ctl lock" : "";
}

export const vaultCommand: Command = {
  name: "vault",
  summary: "whether the vault is open, and what keeps it closed",
  help: `secai vault [status]

What the vault's broker said last. "unknown": it has said nothing since the machine started. By hand: vault-ctl --help.

  secai vault
`,
  flags: [],
  run,
};
