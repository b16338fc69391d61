import { parentPort } from "node:worker_threads";
import { hashFileNow } from "./hash-files.ts";

/** Thread of hash-files.ts: a list of files in, their digests out. */
parentPort?.on("message", (files: readonly { path: Uint8Array; size: number }[]) => {
  try {
    parentPort?.postMessage({ digests: files.map(({ path, size }) => hashFileNow(Buffer.from(path), size)) });
  } catch (error) {
    parentPort?.postMessage({ error: (error as Error).message });
  }
});
