import { type Catalogue, CodedError, type ErrorDetail } from "@secai/formats/errors";

/** What can go wrong when one service asks another. */
export const clientErrors = {
  PEER_ANSWER: {
    exit: 3,
    meaning: "Another service answered with something other than documented JSON.",
    fix: "Check that both services are of the same release.",
  },
  PEER_REFUSED: {
    exit: 1,
    meaning: "Another service refused the request.",
    fix: "Read its code in the message and look it up; a 401 or 403 means a wrong credential in the unit file.",
  },
  PEER_TIMEOUT: { exit: 3, meaning: "Another service did not answer in time.", fix: "Look at its state and its log." },
  PEER_UNREACHABLE: { exit: 3, meaning: "Another service cannot be reached.", fix: "Start it, or look why it does not run." },
} as const satisfies Catalogue;

export type ClientErrorCode = keyof typeof clientErrors;

export class ClientError extends CodedError<ClientErrorCode> {
  /** HTTP status of a refusal. */
  readonly status: number | undefined;
  constructor(code: ClientErrorCode, detail?: ErrorDetail, status?: number) {
    super(code, clientErrors[code], detail);
    this.status = status;
  }
}
