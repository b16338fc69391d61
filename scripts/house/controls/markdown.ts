/** A table of Markdown; bars and angle brackets in a cell stay text. */
export function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map(cell).join(" | ")} |`;
  return [line(head), `|${head.map(() => "---").join("|")}|`, ...rows.map(line)].join("\n");
}

const cell = (text: string): string => text.replaceAll("|", "\\|").replaceAll("<", "&lt;");

/** Blocks with an empty line between them, ended by one newline. */
export const markdownPage = (blocks: readonly string[]): string => `${blocks.join("\n\n")}\n`;
