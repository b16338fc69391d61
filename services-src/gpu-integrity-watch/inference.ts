import { ask, type Peer } from "@secai/kit/client";
import { ClientError } from "@secai/kit/client-errors";
import { shape } from "@secai/kit/schema";
import { Type } from "@sinclair/typebox";

/** The runtime's own answer has many members; these two are ours. */
const completion = shape(
  "completion",
  Type.Object({ content: Type.String({ maxLength: 16_384 }), model: Type.Optional(Type.String({ maxLength: 4096 })) }),
);

const TOKENS = 64;
const LIMIT_MS = 15_000;
const MAX_ANSWER_BYTES = 256 * 1024;

export type Completion =
  | { readonly is: "answer"; readonly content: string; readonly model: string | undefined }
  | { readonly is: "absent" }
  | { readonly is: "error"; readonly why: string };

/** Asks the inference runtime, which has no randomness at temperature 0. Rejects only when `signal` ends it. */
export async function complete(peer: Peer, prompt: string, signal: AbortSignal): Promise<Completion> {
  const body = { prompt, n_predict: TOKENS, temperature: 0 };
  try {
    const { content, model } = await ask(peer, {
      method: "POST",
      path: "/completion",
      body,
      response: completion,
      timeoutMs: LIMIT_MS,
      maxAnswerBytes: MAX_ANSWER_BYTES,
      signal,
    });
    return { is: "answer", content, model };
  } catch (error) {
    signal.throwIfAborted();
    return isAbsent(error) ? { is: "absent" } : { is: "error", why: (error as Error).message };
  }
}

/** Nobody listens. Whoever listens and then does not answer is there. */
function isAbsent(error: unknown): boolean {
  if (!(error instanceof ClientError) || error.code !== "PEER_UNREACHABLE") return false;
  const { code } = (error.cause ?? {}) as NodeJS.ErrnoException;
  return code === "ECONNREFUSED" || code === "ENOENT";
}
