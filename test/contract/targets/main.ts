// A conformance target as a process: TARGET_KIND (agent, airlock, registry), TARGET_LISTEN (a port of 127.0.0.1, or a socket's path),
// TARGET_TOKEN_PATH, TARGET_STATE_PATH (optional).
import { readFileSync } from "node:fs";
import { startTarget, type TargetKind } from "./target.ts";

const { TARGET_KIND, TARGET_LISTEN = "0", TARGET_TOKEN_PATH = "", TARGET_STATE_PATH } = process.env;
const { port } = await startTarget({
  kind: TARGET_KIND as TargetKind,
  listen: TARGET_LISTEN.startsWith("/") ? TARGET_LISTEN : Number(TARGET_LISTEN),
  token: readFileSync(TARGET_TOKEN_PATH, "utf8").trim(),
  ...(TARGET_STATE_PATH === undefined ? {} : { statePath: TARGET_STATE_PATH }),
});
console.log(JSON.stringify({ message: "listening", kind: TARGET_KIND, port }));
