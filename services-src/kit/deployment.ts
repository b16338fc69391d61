import { DeploymentError } from "./deployment-errors.ts";

/** A deployment as `bootc status --format=json` tells it (org.containers.bootc/v1, BootcHost). */
export interface Deployment {
  /** Repository, with tag or digest, as it was asked for. */
  readonly reference: string;
  readonly transport: string;
  /** "containerPolicy": the machine's policy was enforced when it was pulled. */
  readonly signature: string;
  /** Digest of the manifest that was pulled. */
  readonly digest: string;
}

export type Slot = "booted" | "staged" | "rollback";
export type Deployments = Readonly<Record<Slot, Deployment | undefined>>;

type Fields = Readonly<Record<string, unknown>>;

const isFields = (value: unknown): value is Fields => typeof value === "object" && value !== null && !Array.isArray(value);

function child(value: unknown, name: string): unknown {
  return isFields(value) ? value[name] : undefined;
}

function unreadable(actual: string, cause?: unknown): DeploymentError {
  return new DeploymentError("DEPLOYMENT_STATUS", { expected: "bootc's status, version 1", actual, cause });
}

/** Members that we do not read may come and go; one that we read and that is no text is a refusal. @throws DeploymentError DEPLOYMENT_STATUS */
function deploymentOf(entry: unknown, slot: Slot): Deployment | undefined {
  if (entry === null || entry === undefined) return undefined;
  const image = child(entry, "image");
  const source = child(image, "image");
  const text = (value: unknown, name: string): string => {
    if (typeof value !== "string" || value.length > 4096) throw unreadable(`${slot} without ${name}`);
    return value;
  };
  const signature = child(source, "signature");
  return {
    reference: text(child(source, "image"), "image"),
    transport: text(child(source, "transport"), "transport"),
    // Absent, or an object for an ostree remote: both are no container policy.
    signature: typeof signature === "string" ? signature : "none",
    digest: text(child(image, "imageDigest"), "imageDigest"),
  };
}

/** @throws DeploymentError DEPLOYMENT_STATUS */
export function parseDeployments(json: string): Deployments {
  let status: unknown;
  try {
    status = JSON.parse(json);
  } catch (cause) {
    throw unreadable("no JSON", cause);
  }
  if (child(status, "apiVersion") !== "org.containers.bootc/v1" || child(status, "kind") !== "BootcHost")
    throw unreadable(String(child(status, "apiVersion") ?? "no apiVersion").slice(0, 100));
  const slots = child(status, "status");
  if (!isFields(slots)) throw unreadable("no status");
  return {
    booted: deploymentOf(slots.booted, "booted"),
    staged: deploymentOf(slots.staged, "staged"),
    rollback: deploymentOf(slots.rollback, "rollback"),
  };
}

/**
 * A deployment that may run: our repository, by digest, that very digest, pulled under the signature policy.
 * @throws DeploymentError DEPLOYMENT_FOREIGN, DEPLOYMENT_UNPINNED, DEPLOYMENT_UNSIGNED
 */
export function checkDeployment(deployment: Deployment, repository: string): void {
  const { reference, transport, signature, digest } = deployment;
  const [named = "", pinned] = reference.split("@");
  const bare = named.replace(/:[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/, "");
  if (transport !== "registry" || bare !== repository)
    throw new DeploymentError("DEPLOYMENT_FOREIGN", { expected: repository, actual: `${transport}:${reference}` });
  if (pinned !== digest || !/^sha256:[0-9a-f]{64}$/.test(digest))
    throw new DeploymentError("DEPLOYMENT_UNPINNED", { expected: `${repository}@${digest}`, actual: reference });
  if (signature !== "containerPolicy")
    throw new DeploymentError("DEPLOYMENT_UNSIGNED", { expected: "containerPolicy", actual: signature });
}

/** The repository of the one rule of containers-policy.json(5) that accepts. @throws DeploymentError DEPLOYMENT_POLICY */
export function repositoryOf(policy: string): string {
  const refused = (actual: string, cause?: unknown) =>
    new DeploymentError("DEPLOYMENT_POLICY", { expected: "one accepted repository", actual, cause });
  let parsed: unknown;
  try {
    parsed = JSON.parse(policy);
  } catch (cause) {
    throw refused("no JSON", cause);
  }
  const transports = child(parsed, "transports");
  const names = isFields(transports) ? Object.keys(transports) : [];
  const docker = child(transports, "docker");
  const [only, ...more] = isFields(docker) ? Object.keys(docker) : [];
  if (names.join() !== "docker" || only === undefined || more.length > 0 || !only.includes("/"))
    throw refused(`${names.join(", ") || "no transports"}: ${[only, ...more].join(", ")}`);
  return only;
}

/**
 * What brings the machine to an image: pulled by digest, under the policy, started at the next boot and not before.
 */
export const stageCommand = (repository: string, digest: string): readonly string[] => [
  ...["bootc", "switch", "--enforce-container-sigpolicy", "--transport", "registry"],
  `${repository}@${digest}`,
];

export const rollbackCommand: readonly string[] = ["bootc", "rollback"];

/** The root hash of the sealed root that a kernel command line names; undefined where it names none, or two. */
export function rootHashOf(commandLine: string): string | undefined {
  const words = commandLine.split(/\s+/).filter((word) => word.startsWith("roothash="));
  return words.length === 1 ? /^roothash=([0-9a-f]{64})$/.exec(words[0] ?? "")?.[1] : undefined;
}
