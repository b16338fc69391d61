import { listSegments, readLines } from "@secai/kit/audit-verify";
import { exists } from "@secai/kit/files";

export interface TailLimits {
  readonly lines: number;
  readonly bytes: number;
}

/** The last raw lines of an audit log up to record `headSeq`, newest last, without their newlines. At most so many, and so many bytes. */
export async function readAuditTail(path: string, headSeq: number, limits: TailLimits): Promise<readonly string[]> {
  const files = [...(await listSegments(path, 0)), ...((await exists(path)) ? [path] : [])];
  let tail: string[] = [];
  for (const file of files.toReversed()) {
    const lines: string[] = [];
    for await (const line of readLines(file)) {
      lines.push(line.toString("utf8").trimEnd());
      if (lines.length > 2 * limits.lines) lines.splice(0, lines.length - limits.lines);
    }
    tail = [...lines, ...tail];
    if (tail.length >= limits.lines) break;
  }
  return cut(tail.filter((line) => seqOf(line) <= headSeq).slice(-limits.lines), limits.bytes);
}

function cut(lines: readonly string[], maxBytes: number): readonly string[] {
  let left = maxBytes;
  let first = lines.length;
  while (first > 0) {
    left -= Buffer.byteLength(lines[first - 1] ?? "");
    if (left < 0) break;
    first -= 1;
  }
  return lines.slice(first);
}

/** A torn line has no number and is nobody's record. */
function seqOf(line: string): number {
  const seq = /"seq":(\d+),"time":"[^"]*","type":"[^"]*"\}$/.exec(line)?.[1];
  return seq === undefined ? Number.POSITIVE_INFINITY : Number(seq);
}
