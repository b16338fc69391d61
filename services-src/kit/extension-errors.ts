import { type Catalogue, CodedError, type ErrorDetail } from "@secai/formats/errors";

/** Why a system extension is not merged. The machine goes on without it. */
export const extensionRefusalErrors = {
  EXTENSION_UNKNOWN: {
    exit: 2,
    meaning: "The kernel argument secai.extensions names an extension that this image does not have.",
    fix: "Use names of /usr/lib/secure-ai/extensions.json, or all, or none.",
  },
  EXTENSION_PARTITION: {
    exit: 1,
    meaning: "The disk of the root has no partition, or several, with an extension's label, or one that is too small.",
    fix: "Install the image or its update again.",
  },
  EXTENSION_UNVERIFIED: {
    exit: 1,
    meaning: "The partition of an extension does not hold what the sealed root knows by its root hash.",
    fix: "Install the image or its update again; if nobody changed the disk, look at its health.",
  },
  EXTENSION_CORRUPTED: {
    exit: 1,
    meaning: "Blocks of an extension were changed on the disk.",
    fix: "Install the image or its update again; if nobody changed the disk, look at its health.",
  },
  EXTENSION_UNMOUNTABLE: {
    exit: 1,
    meaning: "A verified extension could not be mounted.",
    fix: "Look at the kernel's log; then report a bug.",
  },
  EXTENSION_UNMERGED: {
    exit: 1,
    meaning: "systemd-sysext did not merge exactly the extensions that were chosen and verified, so none is merged.",
    fix: "Look at the log of secure-ai-extensions.service; then report a bug.",
  },
} as const satisfies Catalogue;

export type ExtensionRefusalCode = keyof typeof extensionRefusalErrors;

export class ExtensionRefusal extends CodedError<ExtensionRefusalCode> {
  constructor(code: ExtensionRefusalCode, detail?: ErrorDetail) {
    super(code, extensionRefusalErrors[code], detail);
  }
}
