import { spawn, spawnSync } from "node:child_process";
import { expect, test } from "vitest";

const CHILD = new URL("./ask.ts", import.meta.url).pathname;
const LIMIT_MS = 60_000;

/** What a terminal showed while `answers` were typed, each when its question had appeared; script(1) makes the terminal. */
function typed(mode: string, answers: readonly (readonly [question: string, keys: string])[]): Promise<string> {
  const child = spawn("script", ["-qec", `"${process.execPath}" "${CHILD}" ${mode}`, "/dev/null"], { timeout: LIMIT_MS });
  const waiting = [...answers];
  let shown = "";
  let seen = 0;
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", () => resolve(shown));
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      shown += text;
      const [question = "", keys = ""] = waiting[0] ?? [];
      if (waiting.length === 0 || !shown.slice(seen).includes(question)) return;
      seen = shown.length;
      waiting.shift();
      child.stdin.write(keys);
    });
  });
}
const hex = (text: string) => `{"hex":"${Buffer.from(text).toString("hex")}"}`;

test("a passphrase typed at the terminal is read and not shown", async () => {
  const shown = await typed("once", [["Passphrase: ", "s3cret wörd\r"]]);
  expect(shown).toContain(hex("s3cret wörd"));
  expect(shown).not.toMatch(/s3cret|w.rd/);
});

test("backspace takes a character, Ctrl-U the line", async () => {
  expect(await typed("once", [["Passphrase: ", "wrong\x15abö\x7f\x7fc\r"]])).toContain(hex("ac"));
});

test("Ctrl-C and Ctrl-D give up", async () => {
  for (const key of ["\x03", "\x04"])
    expect(await typed("once", [["Passphrase: ", `abc${key}`]])).toContain('{"code":"PASSPHRASE_UNAVAILABLE"}');
});

test("a new passphrase is asked for twice and must be the same", async () => {
  const twice = (second: string) =>
    typed("new", [
      ["New passphrase: ", "one\r"],
      ["Again: ", `${second}\r`],
    ]);
  expect(await twice("one")).toContain(hex("one"));
  expect(await twice("two")).toContain('{"code":"PASSPHRASE_MISMATCH"}');
});

test("without a terminal nobody is asked", () => {
  const { stdout } = spawnSync("setsid", ["-w", process.execPath, CHILD, "once"], {
    encoding: "utf8",
    input: "x\n",
    timeout: LIMIT_MS,
  });
  expect(stdout).toBe('{"code":"PASSPHRASE_UNAVAILABLE"}\n');
});
