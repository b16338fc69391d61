/** How something is: decides the colour, never the words. */
export type Mood = "good" | "warning" | "bad" | "plain";

export interface Cell {
  readonly text: string;
  readonly mood: Mood;
}

export interface Output {
  readonly json: boolean;
  /** One line. */
  line(text: string): void;
  /** Columns as wide as their widest cell; the last one is not padded. */
  table(head: readonly string[], rows: readonly (readonly (string | Cell)[])[]): void;
  /** The machine-readable answer, where --json asks for it. */
  value(value: unknown): void;
}

export interface OutputOptions {
  readonly json: boolean;
  readonly colour: boolean;
  write(text: string): void;
}

const COLOURS: Readonly<Record<Mood, string>> = { good: "32", warning: "33", bad: "31", plain: "0" };

export const cell = (text: string, mood: Mood): Cell => ({ text, mood });

/** What others wrote must not move the cursor or hide a line: no control characters, no marks that change the direction of writing. */
export const printable = (text: string): string => text.replaceAll(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, "?");

export function createOutput({ json, colour, write }: OutputOptions): Output {
  const paint = ({ text, mood }: Cell): string =>
    colour && mood !== "plain" ? `\u001b[${COLOURS[mood]}m${text}\u001b[0m` : text;
  const words = { line: (text: string) => write(`${printable(text)}\n`) };
  return {
    json,
    line: json ? () => {} : words.line,
    value: (value) => {
      if (json) write(`${JSON.stringify(value, undefined, 2)}\n`);
    },
    table(head, rows) {
      if (json) return;
      const cells = rows.map((row) => row.map(toCell));
      const widths = head.map((title, column) => Math.max(title.length, ...cells.map((row) => row[column]?.text.length ?? 0)));
      const pad = (text: string, column: number) =>
        column === head.length - 1 ? "" : " ".repeat(Math.max(0, (widths[column] ?? 0) - text.length) + 2);
      write(`${head.map((title, column) => title + pad(title, column)).join("")}\n`);
      for (const row of cells) write(`${row.map((one, column) => paint(one) + pad(one.text, column)).join("")}\n`);
    },
  };
}

function toCell(value: string | Cell): Cell {
  const { text, mood } = typeof value === "string" ? cell(value, "plain") : value;
  return { text: printable(text), mood };
}
