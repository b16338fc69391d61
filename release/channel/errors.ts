import { type Catalogue, CodedError, type ErrorDetail } from "@secai/formats/errors";

export const channelErrors = {
  CHANNEL_MINIMUM_LOWERED: {
    exit: 2,
    meaning: "A channel's minimum version was to go down, which would allow again what was refused before.",
    fix: "Leave the minimum where it is, or raise it.",
  },
  CHANNEL_BELOW_MINIMUM: {
    exit: 1,
    meaning: "A release is older than the minimum version of its channel.",
    fix: "Give the release a newer version, or release it to another channel.",
  },
  CHANNEL_STATE_BROKEN: {
    exit: 1,
    meaning: "The record of the last channel file cannot be read, so the next number is not known.",
    fix: "Restore the folder channels/ of the keys directory from a backup.",
  },
} as const satisfies Catalogue;

/** No channel file was issued. */
export class ChannelError extends CodedError<keyof typeof channelErrors> {
  constructor(code: keyof typeof channelErrors, detail?: ErrorDetail) {
    super(code, channelErrors[code], detail);
  }
}
