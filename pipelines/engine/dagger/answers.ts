import { CodedError } from "@secai/formats/errors";
import { DaggerError } from "./errors.ts";
import { execErrorOf } from "./sdk.ts";

const MAX_MESSAGE = 300;
const MAX_DEPTH = 8;

/**
 * Waits for an SDK call and turns its errors into ours. The SDK's own hold the whole query (ClientError prints it), so they are
 * neither kept as a cause nor logged; only what the server said is used, cut and without control characters.
 * @throws DaggerError DAGGER_QUERY_FAILED, CodedError of the transport, and an exec error as it is
 */
export async function answerOf<T>(call: Promise<T>, what: string): Promise<T> {
  try {
    return await call;
  } catch (error) {
    const coded = codedCause(error);
    if (coded !== undefined) throw coded;
    if (execErrorOf(error) !== undefined) throw error;
    const expected = `${what} to succeed`;
    throw new DaggerError("DAGGER_QUERY_FAILED", { expected, actual: serverMessage(error) });
  }
}

/** The same for a text: the SDK passes on whatever the server sent. @throws DaggerError DAGGER_QUERY_FAILED */
export async function textOf(call: Promise<string>, what: string): Promise<string> {
  const answer: unknown = await answerOf(call, what);
  if (typeof answer !== "string")
    throw new DaggerError("DAGGER_QUERY_FAILED", { expected: `a text from ${what}`, actual: `a value of type ${typeof answer}` });
  return answer;
}

/** The transport's own error lies under the SDK's wrappers. */
function codedCause(error: unknown): CodedError | undefined {
  let current: unknown = error;
  for (let depth = 0; depth < MAX_DEPTH && current instanceof Error; depth++) {
    if (current instanceof CodedError) return current;
    current = current.cause;
  }
  return undefined;
}

/** GraphQLRequestError's message is the server's first error; every other kind of error may quote the query. */
function serverMessage(error: unknown): string {
  const { name, message } = Object(error) as Record<string, unknown>;
  return name === "GraphQLRequestError" ? printable(String(message)) : `an error of kind ${printable(String(name))}`;
}

/** One line that cannot move a terminal's cursor. */
export function printable(text: string): string {
  return text
    .trim()
    .replaceAll(/\p{Cc}+/gu, " ")
    .slice(0, MAX_MESSAGE);
}
