import { KEY_ROLES, type KeyManifest } from "@secai/formats/key-manifest";
import type { FileChanges } from "./journal.ts";
import { tagOf } from "./places.ts";
import type { Proof } from "./rehearse.ts";

/** What a command changes or would change, for people (`changeText`) and for programs (as it is). */
export interface ChangeReport {
  readonly applied: boolean;
  readonly directory: string;
  readonly version: number;
  readonly differences: readonly string[];
  readonly write: readonly string[];
  readonly remove: readonly string[];
  readonly rehearsal: readonly Proof[];
}

/** One sentence for each thing that is not as it was. */
export function differencesOf(before: KeyManifest | undefined, after: KeyManifest): readonly string[] {
  const lines = KEY_ROLES.flatMap((role) => {
    const [was, is] = [before?.roles[role], after.roles[role]];
    const gone = (was?.keys ?? []).filter((key) => !is.keys.includes(key)).map((key) => `${role}: without ${named(before, key)}`);
    const come = is.keys.filter((key) => was?.keys.includes(key) !== true).map((key) => `${role}: with ${named(after, key)}`);
    const threshold = was?.threshold === is.threshold ? [] : [`${role}: ${is.threshold} must sign`];
    return [...gone, ...come, ...threshold];
  });
  const known = new Set(before?.revoked.map(({ fingerprint }) => fingerprint));
  const revoked = after.revoked.filter(({ fingerprint }) => !known.has(fingerprint));
  const mode = before?.signatures === after.signatures ? [] : [`signatures: ${after.signatures}`];
  return [...lines, ...revoked.map(({ fingerprint, reason }) => `revoked for ever: ${fingerprint} (${reason})`), ...mode];
}

function named(manifest: KeyManifest | undefined, fingerprint: string): string {
  const key = manifest?.keys[fingerprint];
  return `${tagOf(fingerprint)} (${key?.algorithm}, until ${key?.validUntil.slice(0, 10)})`;
}

export function reportOf(files: FileChanges, facts: Omit<ChangeReport, "write" | "remove">): ChangeReport {
  return { ...facts, write: [...files.write.keys()].sort(), remove: [...files.remove].sort() };
}

export function changeText({ applied, directory, version, differences, write, remove, rehearsal }: ChangeReport): string {
  const list = (title: string, lines: readonly string[]) =>
    lines.length === 0 ? [] : [`${title}:`, ...lines.map((line) => `  ${line}`)];
  return [
    `key manifest version ${version} in ${directory}`,
    ...list("changes", differences),
    ...list("writes", write),
    ...list("removes", remove),
    ...list(
      "rehearsal",
      rehearsal.map(({ name, holds, answer }) => `${holds ? "ok  " : "FAIL"} ${name} (${answer})`),
    ),
    applied ? "done" : "nothing was changed; with --apply it is (new keys are then made afresh)",
    "",
  ].join("\n");
}
