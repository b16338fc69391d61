import { spawn } from "node:child_process";
import { LockError } from "./errors.ts";

/** apt's own reader of every compression that archives use; part of the package apt. */
const APT_HELPER = "/usr/lib/apt/apt-helper";

/**
 * The content of a file whose name says how it is compressed (.xz, .gz, none), in at most `maxBytes`.
 * @throws LockError LOCK_ARCHIVE_MALFORMED when it is broken or larger
 */
export function decompressFile(path: string, maxBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const child = spawn(APT_HELPER, ["cat-file", path], {
      stdio: ["ignore", "pipe", "ignore"],
      env: { LC_ALL: "C.UTF-8", APT_CONFIG: "/dev/null" },
    });
    const chunks: Buffer[] = [];
    let size = 0;
    child.stdout.on("data", (chunk: Buffer) => {
      size += chunk.length;
      if (size > maxBytes) child.kill("SIGKILL");
      else chunks.push(chunk);
    });
    child.on("error", reject);
    child.on("close", (status) => {
      if (status === 0 && size <= maxBytes) return resolve(Buffer.concat(chunks));
      const actual = size > maxBytes ? "more" : `status ${status} after ${size}`;
      reject(new LockError("LOCK_ARCHIVE_MALFORMED", { expected: `at most ${maxBytes} bytes in ${path}`, actual }));
    });
  });
}
