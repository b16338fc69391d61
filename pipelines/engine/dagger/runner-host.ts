import { DaggerError } from "./errors.ts";

/** What the CLI needs on this machine to reach a runner; see engine/client/drivers of Dagger. */
export type RunnerNeed =
  | { readonly kind: "socket"; readonly path: string }
  /** One of these programs in PATH. */
  | { readonly kind: "program"; readonly anyOf: readonly string[] }
  | { readonly kind: "nothing" };

/** Programs that can hold a container, in the order in which the CLI looks for them. */
export const CONTAINER_RUNTIMES = ["docker", "podman", "nerdctl", "finch", "container"] as const;

const FORCED_RUNTIMES: Readonly<Record<string, string>> = {
  docker: "docker",
  podman: "podman",
  nerdctl: "nerdctl",
  finch: "finch",
  apple: "container",
};

const anyRuntime: RunnerNeed = { kind: "program", anyOf: CONTAINER_RUNTIMES };

/**
 * What must be here for the runner address `text` (_EXPERIMENTAL_DAGGER_RUNNER_HOST) to work.
 * @throws DaggerError DAGGER_RUNNER_INVALID
 */
export function parseRunnerHost(text: string): RunnerNeed {
  const { scheme, rest } = /^(?<scheme>[a-z+-]+):\/\/(?<rest>[^\s\0]+)$/.exec(text)?.groups ?? {};
  if (scheme === undefined || rest === undefined) throw invalid("SCHEME://ADDRESS");
  switch (scheme) {
    case "unix":
      if (!rest.startsWith("/")) throw invalid("unix:// and an absolute path");
      return { kind: "socket", path: rest };
    case "tcp":
    case "tls":
      if (!isHostAndPort(rest)) throw invalid(`${scheme}://HOST:PORT`);
      return { kind: "nothing" };
    case "ssh":
      return { kind: "program", anyOf: ["ssh"] };
    case "kube-pod":
      return { kind: "program", anyOf: ["kubectl"] };
    case "container":
    case "image":
      return anyRuntime;
    case "docker-container":
    case "docker-image":
      return { kind: "program", anyOf: ["docker"] };
    case "dagger-cloud":
      return { kind: "nothing" };
    default:
      return forcedRuntime(scheme);
  }
}

/** "image+podman" and its like name the one program to use. */
function forcedRuntime(scheme: string): RunnerNeed {
  const runtime = FORCED_RUNTIMES[/^(?:image|container)\+(?<runtime>[a-z]+)$/.exec(scheme)?.groups?.runtime ?? ""];
  if (runtime === undefined) throw invalid("a scheme that Dagger knows");
  return { kind: "program", anyOf: [runtime] };
}

function isHostAndPort(text: string): boolean {
  const port = Number(/^(?:\[[0-9a-f:.]+\]|[^[\]:/?#@]+):(?<port>\d{1,5})\/?$/i.exec(text)?.groups?.port);
  return port >= 1 && port <= 65_535;
}

/** The address itself may hold a user name or token, so it is not repeated. */
function invalid(expected: string): DaggerError {
  return new DaggerError("DAGGER_RUNNER_INVALID", { expected, actual: "another form in _EXPERIMENTAL_DAGGER_RUNNER_HOST" });
}
