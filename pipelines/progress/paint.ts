/** Terminal attributes (ECMA-48 SGR); all of them return plain text when colour is off. */
export interface Paint {
  readonly bold: (text: string) => string;
  readonly dim: (text: string) => string;
  readonly red: (text: string) => string;
  readonly green: (text: string) => string;
  readonly yellow: (text: string) => string;
}

export function createPaint(color: boolean): Paint {
  const attribute = (on: number, off: number) => (text: string) => (color ? `\u001b[${on}m${text}\u001b[${off}m` : text);
  return {
    bold: attribute(1, 22),
    dim: attribute(2, 22),
    red: attribute(31, 39),
    green: attribute(32, 39),
    yellow: attribute(33, 39),
  };
}

const TAB = 9;
const FIRST_PRINTABLE = 32;
const DELETE = 127;
const LAST_C1 = 159;

/** Text of a build step, safe to print: control characters could move the cursor or retitle the terminal. */
export function withoutControls(text: string): string {
  return Array.from(text, (character) => (isControl(character.codePointAt(0) ?? 0) ? "\ufffd" : character)).join("");
}

function isControl(code: number): boolean {
  return (code < FIRST_PRINTABLE && code !== TAB) || (code >= DELETE && code <= LAST_C1);
}
