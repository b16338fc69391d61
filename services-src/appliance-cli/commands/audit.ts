import { type AuditReport, verifyAudit } from "@secai/kit/audit-verify";
import { auditKeys } from "@secai/kit/credential-names";
import { CodedError } from "@secai/kit/errors";
import { exists, readCredential } from "@secai/kit/files";
import { type Command, type Exit, type Invocation, worst } from "../command.ts";
import { CliError } from "../errors.ts";
import { cell } from "../output.ts";

interface Chain {
  readonly name: string;
  readonly log: string;
  readonly anchor: string;
  readonly key: (typeof auditKeys)[number];
}

/** Every service keeps its chain in its own state directory, and the anchor in another. */
const chains: readonly Chain[] = auditKeys.map((key) => {
  const name = key === "vault-relock-audit-hmac.key" ? "vault-control" : key.replace(/-audit-hmac\.key$/, "");
  const file = name === "vault-control" ? "vault-audit" : `${name}-audit`;
  return { name, key, log: `${name}/${file}.jsonl`, anchor: `${name}-anchor/${file}.head` };
});

/** A log may be rotated while it is read: once is chance, three times are not. */
const ATTEMPTS = 3;

async function run(invocation: Invocation): Promise<Exit> {
  const [verb = "verify", ...names] = invocation.words;
  if (verb !== "verify") throw new CliError("CLI_USAGE", { expected: "verify", actual: verb });
  const unknown = names.find((name) => !chains.some((chain) => chain.name === name));
  if (unknown !== undefined)
    throw new CliError("CLI_CHAIN_UNKNOWN", { expected: chains.map(({ name }) => name).join(", "), actual: unknown });
  const wanted = names.length === 0 ? chains : chains.filter(({ name }) => names.includes(name));
  const results: Result[] = [];
  for (const chain of wanted) results.push(await verify(invocation, chain));
  const { out } = invocation;
  out.table(
    ["CHAIN", "IS", "RECORDS", "HEAD", "NEXT"],
    results.map(({ name, says, exit, report, next }) => [
      name,
      cell(says, exit === 0 ? "good" : exit === 1 ? "bad" : "warning"),
      report === undefined ? "-" : String(report.records),
      report === undefined ? "-" : `${report.head.seq} ${report.head.mac.slice(0, 16)}`,
      next ?? "",
    ]),
  );
  out.value(
    results.map(({ name, says, exit, report }) => ({
      name,
      ok: exit === 0,
      says,
      ...(report === undefined ? {} : { records: report.records, head_seq: report.head.seq, head_mac: report.head.mac }),
    })),
  );
  return worst(results.map(({ exit }) => exit));
}

interface Result {
  readonly name: string;
  readonly says: string;
  readonly exit: Exit;
  readonly report?: AuditReport;
  readonly next?: string;
}

async function verify({ machine }: Invocation, { name, log, anchor, key }: Chain): Promise<Result> {
  const [logPath, anchorPath] = [machine.state(log), machine.state(anchor)];
  try {
    if (!(await exists(logPath)) && !(await exists(anchorPath)))
      return { name, says: "not begun", exit: 3, next: `${logPath} does not exist` };
    const secret = Buffer.from(await readCredential(await machine.credential(key)), "hex");
    const report = await verifyPatiently(logPath, secret, anchorPath);
    return { name, says: report.torn === undefined ? "intact" : "intact, and being written", exit: 0, report };
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    return { name, says: error.code, exit: error.exit === 1 ? 1 : 3, next: error.fix };
  }
}

async function verifyPatiently(path: string, key: Uint8Array, anchorPath: string, attempt = 1): Promise<AuditReport> {
  try {
    return await verifyAudit(path, key, anchorPath);
  } catch (error) {
    if (attempt >= ATTEMPTS) throw error;
    return verifyPatiently(path, key, anchorPath, attempt + 1);
  }
}

export const auditCommand: Command = {
  name: "audit",
  summary: "whether the records of what was done are whole",
  help: `secai audit verify [CHAIN…]

Checks every keyed audit chain from its first kept record to its anchor. Exit status: 0 all intact, 1 one was edited, cut or removed, 3 one has
not begun or cannot be read.

  secai audit verify
  secai audit verify incident-recorder --json
`,
  flags: [],
  run,
};
