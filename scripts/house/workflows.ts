/** What a CI workflow file must be, checked on its structure. Lines of `findings` are for people; none is the pass. */
export interface WorkflowFile {
  readonly path: string;
  readonly text: string;
  /** The parsed YAML. */
  readonly document: unknown;
}

/** Actions that may run beside our own code, all by GitHub. More hands on the build need a reason. */
const ALLOWED_ACTIONS: ReadonlySet<string> = new Set(["actions/checkout", "actions/setup-node", "actions/upload-artifact"]);
/** A pull request is somebody else's code: these events run it, or what it left, with our rights. */
const FORBIDDEN_EVENTS: ReadonlySet<string> = new Set(["pull_request_target", "workflow_run", "issue_comment", "issues"]);
/** Where a job may write, and what. */
const MAY_WRITE: Readonly<Record<string, readonly string[]>> = { "release.yml": ["contents"] };

type Fields = Readonly<Record<string, unknown>>;
const asRecord = (value: unknown): Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : {};
const asList = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

/** Everything wrong with one workflow. */
export function workflowFindings({ path, text, document }: WorkflowFile): readonly string[] {
  const workflow = asRecord(document);
  const events = eventsOf(workflow);
  const name = path.split("/").at(-1) ?? "";
  const jobs = Object.entries(asRecord(workflow.jobs));
  const findings = [
    ...events.filter((event) => FORBIDDEN_EVENTS.has(event)).map((event) => `runs on ${event}`),
    ...(events.length === 0 ? ["names no event"] : []),
    ...(JSON.stringify(workflow.permissions) === "{}" ? [] : ["top-level permissions are not {}"]),
    ...(typeof asRecord(workflow.concurrency).group === "string" ? [] : ["has no concurrency group"]),
    ...(events.includes("pull_request") && /\$\{\{[^}]*\bsecrets\b/.test(text) ? ["uses secrets on pull_request"] : []),
    ...unpinned(text),
    ...(jobs.length === 0 ? ["has no job"] : []),
    ...jobs.flatMap(([id, job]) => jobFindings(name, events, asRecord(job)).map((finding) => `job ${id}: ${finding}`)),
  ];
  return findings.map((finding) => `${path}: ${finding}`);
}

/** `on` is one name, a list of names, or a table. (YAML 1.2: "on" is a string, not true.) */
function eventsOf({ on }: Fields): readonly string[] {
  if (typeof on === "string") return [on];
  return Array.isArray(on) ? on.map(String) : Object.keys(asRecord(on));
}

/** The commit says what runs; the comment says to people what it is, and is only in the text. */
function unpinned(text: string): readonly string[] {
  const lines = text.split("\n").filter((line) => /^\s*(?:- )?["']?uses["']?\s*:/.test(line));
  return lines
    .filter((line) => !/^\s*(?:- )?uses: [A-Za-z0-9_./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/.test(line))
    .map((line) => `not pinned by commit with its version beside it: ${line.trim()}`);
}

function jobFindings(file: string, events: readonly string[], job: Fields): readonly string[] {
  const permissions = Object.entries(asRecord(job.permissions));
  const writes = permissions.filter(([, access]) => access !== "read" && access !== "none").map(([scope]) => scope);
  const allowed = events.includes("pull_request") ? [] : (MAY_WRITE[file] ?? []);
  const minutes = job["timeout-minutes"];
  return [
    ...(permissions.length === 0 ? ["has no permissions of its own"] : []),
    ...writes.filter((scope) => !allowed.includes(scope)).map((scope) => `may write ${scope}`),
    ...(typeof minutes === "number" && minutes > 0 && minutes <= 360 ? [] : ["has no timeout-minutes"]),
    ...(events.includes("pull_request") && !/^(ubuntu|debian)-[\d.]+$/.test(String(job["runs-on"]))
      ? ["runs pull requests on a runner of our own"]
      : []),
    ...(job.uses === undefined ? [] : ["calls another workflow"]),
    ...asList(job.steps).flatMap((step) => stepFindings(asRecord(step))),
  ];
}

function stepFindings(step: Fields): readonly string[] {
  const { uses, run, shell } = step;
  if (typeof uses === "string") {
    const [action = "", commit = ""] = uses.split("@");
    return [
      ...(ALLOWED_ACTIONS.has(action) ? [] : [`uses ${action}`]),
      ...(/^[0-9a-f]{40}$/.test(commit) ? [] : [`uses ${action} by a name that can move`]),
      ...(action === "actions/checkout" && asRecord(step.with)["persist-credentials"] !== false
        ? ["checkout leaves its token behind"]
        : []),
    ];
  }
  if (typeof run !== "string") return ["has a step that neither uses nor runs anything"];
  return [
    // Values reach a command through the environment, where the shell does not read them as commands.
    ...(run.includes("${{") ? [`expression inside a command: ${run}`] : []),
    ...(shell === undefined ? [] : ["chooses a shell"]),
    ...commandLines(run)
      .filter((line) => commandOf(line) === undefined)
      .map((line) => `not a command of this project: ${line}`),
  ];
}

export const commandLines = (run: string): readonly string[] =>
  run
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"));

export type WorkflowCommand =
  | { readonly kind: "make" | "secai"; readonly words: readonly string[] }
  | { readonly kind: "npm-ci" };

/** One command without pipes, lists, substitutions or redirections; `sudo` may stand before it. */
export function commandOf(line: string): WorkflowCommand | undefined {
  if (/[;&|<>`\\]|\$\(/.test(line)) return undefined;
  const [first, ...words] = line.replace(/^sudo /, "").split(/\s+/);
  if (first === "make" && words.length > 0) return { kind: "make", words };
  if (first === "scripts/secai" && words.length > 0) return { kind: "secai", words };
  return first === "npm" && words.join(" ") === "ci" ? { kind: "npm-ci" } : undefined;
}

/** Every run command of a workflow. */
export function commandsOf({ document }: WorkflowFile): readonly WorkflowCommand[] {
  const steps = Object.values(asRecord(asRecord(document).jobs)).flatMap((job) => asList(asRecord(job).steps));
  const runs = steps.map((step) => asRecord(step).run).filter((run) => typeof run === "string");
  return runs.flatMap(commandLines).flatMap((line) => commandOf(line) ?? []);
}
