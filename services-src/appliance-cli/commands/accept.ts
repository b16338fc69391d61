import { ask } from "@secai/kit/client";
import type { Exit, Invocation } from "../command.ts";
import { CliError } from "../errors.ts";
import { isPerhapsOwn, sentence } from "../violations.ts";
import { integrityRebaseline, integrityScan } from "../wire.ts";

const LIMITS = { timeoutMs: 60_000, maxAnswerBytes: 8 << 20 } as const;

/** Looks anew first. What is accepted is named by the digest that the dry run printed: nothing that came since. */
export async function accept({ machine, out, flags }: Invocation): Promise<Exit> {
  if (flags.yes && !/^[0-9a-f]{64}$/.test(flags.accept ?? ""))
    throw new CliError("CLI_USAGE", { expected: "--accept DIGEST, as the dry run prints it", actual: flags.accept ?? "none" });
  const look = { method: "POST", path: "/api/v1/scan", response: integrityScan, ...LIMITS } as const;
  const { violations, violation_count, violations_sha256 } = await ask(await machine.peer("integrity-monitor", "monitor"), look);
  if (violation_count === 0) {
    out.line("nothing is wrong, so there is nothing to accept");
    out.value({ status: "nothing_to_accept" });
    return 0;
  }
  const own = violations.filter(isPerhapsOwn);
  const others = violations.filter((one) => !isPerhapsOwn(one));
  if (own.length > 0) out.line("to be accepted as it is, if it is this machine's own:");
  for (const violation of own) out.line(`  ${sentence(violation)}`);
  if (others.length > 0) out.line("never accepted, and while it is there nothing is:");
  for (const violation of others) out.line(`  ${sentence(violation)}`);
  if (violation_count > violations.length) out.line(`and ${violation_count - violations.length} more`);
  if (!flags.yes) {
    out.line("nothing was accepted. If you know why each of these is so:");
    out.line(`  secai baseline accept --accept ${violations_sha256} --yes`);
    out.value({ dry_run: true, would_accept: own, never_accepted: others, violation_count, violations_sha256 });
    return others.length > 0 ? 1 : 0;
  }
  const body = { accept_digest: flags.accept };
  const order = { method: "POST", path: "/api/v1/rebaseline", body, response: integrityRebaseline, ...LIMITS } as const;
  const answer = await ask(await machine.peer("integrity-monitor", "rebaseline"), order);
  const { generation, sha256 } = answer.baseline;
  out.line(`accepted: baseline ${generation}, sha256 ${sha256}`);
  const next = answer.state === "trusted" ? null : "secai recover";
  if (next !== null) out.line(`the monitor stays ${answer.state} until the recovery. next: ${next}`);
  out.value({ ...answer, next });
  return 0;
}
