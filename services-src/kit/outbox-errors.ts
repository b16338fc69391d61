import { type Catalogue, CodedError, type ErrorDetail } from "@secai/formats/errors";

/** What can go wrong with a message that waits for another service. */
export const outboxErrors = {
  OUTBOX_DIRECTORY: {
    exit: 1,
    meaning: "The directory of an outbox is a link, is not ours or can be looked into by others.",
    fix: "Find out who changed it; move it aside and start the service again.",
  },
  OUTBOX_FULL: {
    exit: 3,
    meaning: "As many messages wait for another service as may; further ones are refused.",
    fix: "Start the service they are for; they are delivered in order by themselves.",
  },
  OUTBOX_MESSAGE: {
    exit: 70,
    meaning: "A message does not have the shape that its receiver demands, so it would never be taken.",
    fix: "Report the bug with the service's log.",
  },
  OUTBOX_UNAVAILABLE: {
    exit: 3,
    meaning: "A message for another service cannot be written to the disk, so it is not regarded as sent.",
    fix: "Free disk space and check the directory of the outbox.",
  },
} as const satisfies Catalogue;

export class OutboxError extends CodedError<keyof typeof outboxErrors> {
  constructor(code: keyof typeof outboxErrors, detail?: ErrorDetail) {
    super(code, outboxErrors[code], detail);
  }
}
