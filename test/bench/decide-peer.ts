// What Node's HTTP server can do at all: reads a request and answers with a fixed decision. decide-peer SOCKET
import { createServer } from "node:http";

const [socketPath = ""] = process.argv.slice(2);
const body = JSON.stringify({
  decision: "allow",
  reason: "the tool is on the allow list",
  evidence: {
    timestamp: "2026-01-01T00:00:00Z",
    domain: "tool_access",
    policy_digest: "0".repeat(64),
    rule_id: "tools.allow.filesystem.read",
  },
});
const server = createServer((request, response) => {
  request.resume();
  request.once("end", () => {
    response.writeHead(200, { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body) }).end(body);
  });
});
server.listen(socketPath, () => process.stderr.write(`${JSON.stringify({ message: "service ready" })}\n`));
process.once("SIGTERM", () => process.exit(0));
