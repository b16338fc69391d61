import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** How a mirror misbehaves for one path. */
export type Trouble =
  /** Sends this many bytes and drops the connection, the given number of times. */
  | { readonly kind: "cut"; readonly bytes: number; readonly times: number }
  | { readonly kind: "status"; readonly status: number; readonly times: number }
  | { readonly kind: "bytes"; readonly bytes: Uint8Array }
  | { readonly kind: "redirect"; readonly to: string }
  /** Answers a range with another one. */
  | { readonly kind: "wrong-range" }
  /** Sends a part, then nothing more, and keeps the connection. */
  | { readonly kind: "stall"; readonly bytes: number };

export interface Mirror {
  /** Root, with a slash at its end. */
  readonly url: string;
  readonly files: Map<string, Uint8Array>;
  readonly troubles: Map<string, Trouble>;
  /** "PATH from OFFSET", in the order they were asked for. */
  readonly requests: string[];
  /** Whether ranges are honoured. */
  ranges: boolean;
  /** Most requests that were open at once. */
  peak: number;
  close(): Promise<void>;
}

function send(answer: ServerResponse, content: Uint8Array, offset: number): void {
  if (offset > 0)
    answer.writeHead(206, {
      "content-range": `bytes ${offset}-${content.length - 1}/${content.length}`,
      "content-length": content.length - offset,
    });
  else answer.writeHead(200, { "content-length": content.length });
  answer.end(content.subarray(offset));
}

function sendPart(answer: ServerResponse, content: Uint8Array, offset: number, bytes: number, thenDrop: boolean): void {
  const range = offset > 0 ? { "content-range": `bytes ${offset}-${content.length - 1}/${content.length}` } : {};
  answer.writeHead(offset > 0 ? 206 : 200, { "content-length": content.length - offset, ...range });
  answer.write(content.subarray(offset, offset + bytes), () => {
    if (thenDrop) answer.destroy();
  });
}

function handle(mirror: Mirror, request: IncomingMessage, answer: ServerResponse): void {
  const path = decodeURI((request.url ?? "").replace(/^\//, ""));
  const [, start = "0"] = /^bytes=([0-9]+)-$/.exec(request.headers.range ?? "") ?? [];
  mirror.requests.push(`${path} from ${start}`);
  const offset = mirror.ranges ? Number(start) : 0;
  const trouble = mirror.troubles.get(path);
  const content = mirror.files.get(path);
  if (trouble?.kind === "redirect") {
    answer.writeHead(302, { location: trouble.to }).end();
  } else if (trouble?.kind === "status" && trouble.times > 0) {
    mirror.troubles.set(path, { ...trouble, times: trouble.times - 1 });
    answer.writeHead(trouble.status).end();
  } else if (trouble?.kind === "bytes") {
    send(answer, trouble.bytes, 0);
  } else if (content === undefined) {
    answer.writeHead(404).end();
  } else if (trouble?.kind === "cut" && trouble.times > 0) {
    mirror.troubles.set(path, { ...trouble, times: trouble.times - 1 });
    sendPart(answer, content, offset, trouble.bytes, true);
  } else if (trouble?.kind === "stall") {
    sendPart(answer, content, offset, trouble.bytes, false);
  } else if (trouble?.kind === "wrong-range" && offset > 0) {
    answer.writeHead(206, { "content-range": `bytes 0-${content.length - 1}/${content.length}` }).end(content);
  } else {
    send(answer, content, offset);
  }
}

/** A mirror on a free port of the loopback interface. */
export async function startMirror(files: ReadonlyMap<string, Uint8Array> = new Map()): Promise<Mirror> {
  let open = 0;
  const server: Server = createServer((request, answer) => {
    open++;
    mirror.peak = Math.max(mirror.peak, open);
    answer.on("close", () => open--);
    // A moment, so that requests that are sent at once are open at once.
    setTimeout(() => handle(mirror, request, answer), 5);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const mirror: Mirror = {
    url: `http://127.0.0.1:${port}/`,
    files: new Map(files),
    troubles: new Map(),
    requests: [],
    ranges: true,
    peak: 0,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
  return mirror;
}
