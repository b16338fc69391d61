import { printHelp } from "@secai/pipelines/io";
import type { ReleaseIo } from "@secai/release/gate/io";

// The verbs of `secai release`; each explains itself.

type Run = (args: string[], io: ReleaseIo & { readonly top: string; readonly env: NodeJS.ProcessEnv }) => Promise<number>;
interface Verb {
  readonly summary: string;
  readonly load: () => Promise<Run>;
}

const verbs: Readonly<Record<string, Verb>> = {
  build: {
    summary: "build a release candidate with every medium; refuses drift from the lock",
    load: async () => (await import("./image.ts")).runReleaseBuild,
  },
  sign: {
    summary: "add a second or later signature to every signed file",
    load: async () => (await import("@secai/release/commands/sign")).runSign,
  },
  attest: {
    summary: "add test results, signed and bound to the image",
    load: async () => (await import("@secai/release/commands/attest")).runAttest,
  },
  check: {
    summary: "name what stands between a release and a designation",
    load: async () => (await import("@secai/release/commands/check")).runCheck,
  },
  promote: {
    summary: "make a candidate, or a stable release, of one that is ready",
    load: async () => (await import("@secai/release/commands/promote")).runPromote,
  },
  diff: {
    summary: "say what differs between two releases",
    load: async () => (await import("@secai/release/diff/command")).runDiff,
  },
  publish: {
    summary: "put a release on GitHub, into a directory or an OCI layout",
    load: async () => (await import("@secai/release/publish/command")).runPublish,
  },
};

function help(): string {
  const rows = Object.entries(verbs).map(([name, { summary }]) => `  ${name.padEnd(8)}  ${summary}`);
  return `secai release VERB [OPTIONS]

${rows.join("\n")}

What changes or publishes anything does so with --apply and only says what it would do without. Each verb explains itself with --help.

Examples:
  secai release build debian-13 --apply
  secai release check out/debian-13/0.1.0
`;
}

/** `secai release`. @throws what the verbs throw */
export const runRelease: Run = async (args, io) => {
  const [name, ...rest] = args;
  const verb = verbs[name ?? ""];
  if (verb !== undefined) return (await verb.load())(rest, io);
  const asked = name === "--help" || name === "-h";
  return printHelp(io, help(), asked);
};
