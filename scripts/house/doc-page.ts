/** What a Markdown page promises that a machine can check. Line numbers start at 1. */
export interface PageCommand {
  readonly line: number;
  readonly text: string;
}

/** Commands of fenced blocks (```sh, ```console, ```bash), one a line; prompts, comments and continuations are taken care of. */
export function fencedCommands(markdown: string): readonly PageCommand[] {
  const commands: PageCommand[] = [];
  let inside = false;
  for (const [index, line] of markdown.split("\n").entries()) {
    const fence = /^\s*```(?<language>\w*)/.exec(line)?.groups;
    if (fence !== undefined) {
      inside = !inside && ["sh", "console", "bash"].includes(fence.language ?? "");
      continue;
    }
    const text = line
      .replace(/^\s*[$#]\s+/, "")
      .replace(/\s+#\s.*$/, "")
      .trim();
    if (inside && text !== "" && !line.trim().startsWith("# ")) commands.push({ line: index + 1, text });
  }
  return commands;
}

/** Targets of inline and reference links outside code, without their fragment; absolute addresses are left out. */
export function relativeLinks(markdown: string): readonly { readonly line: number; readonly target: string }[] {
  const withoutFences = markdown.replace(/^\s*```[\s\S]*?^\s*```/gm, (block) => block.replace(/[^\n]/g, ""));
  return withoutFences.split("\n").flatMap((text, index) => {
    const prose = text.replace(/`[^`]*`/g, "");
    const inline = [...prose.matchAll(/\]\(\s*<?(?<target>[^)\s>]+)>?[^)]*\)/g)];
    const reference = [...prose.matchAll(/^\s*\[[^\]]+\]:\s*<?(?<target>[^\s>]+)>?/g)];
    return [...inline, ...reference]
      .map((match) => match.groups?.target ?? "")
      .filter((target) => !/^[a-z][a-z0-9+.-]*:|^#/i.test(target))
      .map((target) => ({ line: index + 1, target: decodeURI(target.replace(/#.*$/, "")) }));
  });
}

/** Targets that a Makefile defines: names before a single colon at the start of a line. */
export function makeTargets(makefile: string): ReadonlySet<string> {
  return new Set([...makefile.matchAll(/^(?<target>[a-z][a-z-]*):(?!=)/gm)].map((match) => match.groups?.target ?? ""));
}

/** Targets that `make ...` asks for; variables and options are none. */
export function targetsOf(command: string): readonly string[] {
  return command
    .split(/\s+/)
    .slice(1)
    .filter((word) => /^[a-z][a-z-]*$/.test(word));
}
