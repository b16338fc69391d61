import { readSync } from "node:fs";
import { PublishError } from "./errors.ts";

/** Longer than any token GitHub gives out. */
const MAX_TOKEN_BYTES = 1024;

/**
 * The token, from an open file descriptor or the environment; never from the command line, which every user of the machine can read.
 * @throws PublishError PUBLISH_TOKEN_MISSING, PUBLISH_USAGE
 */
export function loadToken(fd: string | undefined, env: Readonly<Record<string, string | undefined>>): string {
  const token = (fd === undefined ? env.GITHUB_TOKEN : readDescriptor(fd))?.trim();
  if (token === undefined || token === "") throw new PublishError("PUBLISH_TOKEN_MISSING");
  // Not shown, not even in part: it may be the right one with a stray character.
  if (!/^[!-~]+$/.test(token))
    throw new PublishError("PUBLISH_USAGE", { expected: "a token of printable ASCII", actual: "other characters" });
  return token;
}

function readDescriptor(fd: string): string {
  if (!/^\d{1,4}$/.test(fd)) throw new PublishError("PUBLISH_USAGE", { expected: "the number of an open file", actual: fd });
  const buffer = Buffer.alloc(MAX_TOKEN_BYTES);
  let length = 0;
  try {
    for (let read = -1; read !== 0 && length < buffer.length; length += read)
      read = readSync(Number(fd), buffer, length, buffer.length - length, null);
  } catch (cause) {
    throw new PublishError("PUBLISH_TOKEN_MISSING", {
      expected: `a token on descriptor ${fd}`,
      actual: (cause as Error).message,
      cause,
    });
  }
  return buffer.subarray(0, length).toString("latin1");
}
