import {
  type Incident,
  type IncidentQuery,
  incidentClasses,
  incidentList,
  incidentShape,
  incidentStates,
  severities,
} from "@secai/kit/api/incidents";
import { ask } from "@secai/kit/client";
import { type Command, type Exit, type Invocation, isOnlyShown } from "../command.ts";
import { CliError } from "../errors.ts";
import { cell, type Mood } from "../output.ts";
import { unresolvedStates } from "../wire.ts";
import { exportForensic } from "./export.ts";

const MAX_LISTED = 5000;
const MAX_ANSWER_BYTES = 64 << 20;

export function requireId(word: string | undefined): string {
  if (word !== undefined && /^INC-\d{8}-\d{6}-\d{4,12}$/.test(word)) return word;
  throw new CliError("CLI_USAGE", {
    expected: "INC-YYYYMMDD-HHMMSS-NNNN",
    actual: word ?? "nothing",
    fix: "Run `secai incidents list --all`.",
  });
}

async function run(invocation: Invocation): Promise<Exit> {
  const [verb = "list", ...rest] = invocation.words;
  if (verb === "list") return list(invocation, rest);
  if (verb === "export") return exportForensic(invocation, rest);
  if (rest.length > 1) throw new CliError("CLI_USAGE", { expected: "one incident", actual: rest.join(" ") });
  const id = requireId(rest[0]);
  if (verb === "show") return show(invocation, id);
  if (verb === "resolve" || verb === "acknowledge") return change(invocation, verb, id);
  throw new CliError("CLI_USAGE", { expected: "list, show, resolve, acknowledge or export", actual: verb });
}

async function list({ machine, out, flags }: Invocation, rest: readonly string[]): Promise<Exit> {
  if (rest.length > 0) throw new CliError("CLI_USAGE", { expected: "no further words", actual: rest.join(" ") });
  const body: IncidentQuery = {
    limit: MAX_LISTED,
    ...oneOf("state", flags.state, incidentStates),
    ...oneOf("class", flags.class, incidentClasses),
    ...oneOf("severity", flags.severity, severities),
  };
  const peer = await machine.peer("incident-recorder", "read");
  const answer = { response: incidentList, maxAnswerBytes: MAX_ANSWER_BYTES, timeoutMs: 10_000 } as const;
  const all = await ask(peer, { method: "POST", path: "/api/v1/incidents/query", body, ...answer });
  const shown = flags.all || flags.state !== undefined ? all : all.filter(({ state }) => unresolvedStates.includes(state));
  if (shown.length === 0) out.line(flags.all ? "no incident" : "no unresolved incident (--all shows the others)");
  else
    out.table(
      ["INCIDENT", "SEVERITY", "STATE", "CLASS", "SOURCE", "TIMES", "LAST SEEN"],
      shown.map(({ id, severity, state, class: name, source, count, last_seen_at }) => [
        id,
        cell(severity, severity === "critical" || severity === "high" ? "bad" : "warning"),
        cell(state, moodOf(state)),
        name,
        source,
        String(count),
        last_seen_at,
      ]),
    );
  out.value(shown);
  return 0;
}

function moodOf(state: Incident["state"]): Mood {
  if (state === "containment_failed" || state === "open") return "bad";
  return state === "contained" ? "warning" : "good";
}

function oneOf<K extends string, W extends string>(key: K, word: string | undefined, words: readonly W[]): { [P in K]?: W } {
  if (word === undefined) return {};
  const found = words.find((one) => one === word);
  if (found === undefined) throw new CliError("CLI_USAGE", { expected: `--${key} ${words.join(" | ")}`, actual: word });
  return { [key]: found } as { [P in K]?: W };
}

async function show({ machine, out }: Invocation, id: string): Promise<Exit> {
  const peer = await machine.peer("incident-recorder", "read");
  const incident = await ask(peer, { method: "POST", path: "/api/v1/incidents/get", body: { id }, response: incidentShape });
  const { evidence, containment_results, ...plain } = incident;
  out.table(
    ["FIELD", "VALUE"],
    [
      ...Object.entries(plain).map(([key, value]) => [key, Array.isArray(value) ? value.join(", ") : String(value)]),
      ...containment_results.map(({ action, success, error, attempts, completed_at }) => [
        action,
        cell(`${success ? "done" : `failed: ${error ?? "-"}`} (${attempts} attempts, ${completed_at})`, success ? "good" : "bad"),
      ]),
      ...Object.entries(evidence).map(([key, value]) => [
        `evidence.${key}`,
        typeof value === "string" ? value : JSON.stringify(value),
      ]),
    ],
  );
  out.value(incident);
  return 0;
}

async function change(invocation: Invocation, verb: "resolve" | "acknowledge", id: string): Promise<Exit> {
  if (isOnlyShown(invocation, `${verb} ${id}`)) return 0;
  const { machine, out } = invocation;
  const peer = await machine.peer("incident-recorder", "operator");
  const incident = await ask(peer, {
    method: "POST",
    path: `/api/v1/incidents/${verb}`,
    body: { id },
    response: incidentShape,
    timeoutMs: 10_000,
  });
  out.line(`${id} is ${incident.state}`);
  out.value(incident);
  return 0;
}

export const incidentsCommand: Command = {
  name: "incidents",
  summary: "what went wrong, and what was done about it",
  help: `secai incidents [list] [--all] [--state S] [--class C] [--severity S]
secai incidents show INCIDENT
secai incidents resolve INCIDENT --yes
secai incidents acknowledge INCIDENT --yes
secai incidents export FILE [--force]

The list shows what is unresolved, the worst first; --all shows the rest. An incident that closed something is resolved after its recovery
(secai recover); a resolved one is acknowledged once somebody has looked at it. Without --yes nothing is changed. An export is all of it, signed,
in a new file (--force: in place of another) that is verified away from this machine; every export is on record.

  secai incidents --severity critical
  secai incidents show INC-20260101-120000-0001
  secai incidents resolve INC-20260101-120000-0001 --yes
  secai incidents export forensic.json
`,
  flags: ["all", "state", "class", "severity", "yes", "force"],
  run,
};
