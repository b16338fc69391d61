// relay-client SOCKET WORD...: runs a command in the machine behind a relay, as `ssh root@machine WORD...` would.
import { createConnection } from "node:net";

const [path = "", ...words] = process.argv.slice(2);
const socket = createConnection(path, () => socket.write(`${JSON.stringify(words)}\n`));
let bytes = 0;
socket.on("data", (chunk: Buffer) => {
  bytes += chunk.length;
  process.stdout.write(chunk);
});
socket.on("error", (error) => {
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 255;
});
socket.on("end", () => {
  socket.end();
  if (bytes === 0) process.exitCode = 255;
});
