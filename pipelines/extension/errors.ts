import { type Catalogue, CodedError, type ErrorDetail } from "@secai/formats/errors";

export const extensionErrors = {
  EXTENSION_OUTSIDE_USR: {
    exit: 1,
    meaning: "A package of a system extension brings files that do not lie below /usr; only /usr is merged.",
    fix: "Name them in the extension's remove.paths, or move the package to the image.",
  },
  EXTENSION_OVERLAPS: {
    exit: 1,
    meaning: "A system extension would cover files of the sealed root with others.",
    fix: "Name them in the extension's remove.paths, or have the image bring the same version of the package.",
  },
  EXTENSION_FORBIDDEN: {
    exit: 1,
    meaning:
      "A system extension holds what only the sealed root may: units, rules, settings, kernel modules, programs of ours or privileged files.",
    fix: "Name them in the extension's remove.paths, or move the package to the image.",
  },
  EXTENSION_LINK_DANGLING: {
    exit: 1,
    meaning: "A symbolic link of a system extension leads to nothing, in the extension or the image.",
    fix: "Name it in the extension's remove.paths, or add the package that has its target.",
  },
  EXTENSION_LIBRARY_MISSING: {
    exit: 1,
    meaning: "A program or library of a system extension needs a library that neither the extension nor the image has.",
    fix: "Add the package that has it, or name the file that needs it in the extension's remove.paths.",
  },
  EXTENSION_TOO_LARGE: {
    exit: 1,
    meaning: "A system extension does not fit its partition or its budget.",
    fix: "Remove what is not needed in the extension's remove.paths, or raise sizeMiB or sizeBudgetMiB with a reason.",
  },
} as const satisfies Catalogue;

/** A system extension that cannot or must not be merged. */
export class ExtensionError extends CodedError<keyof typeof extensionErrors> {
  constructor(code: keyof typeof extensionErrors, detail?: ErrorDetail) {
    super(code, extensionErrors[code], detail);
  }
}

/** Most names in one message. */
const MAX_NAMED = 12;

/** A list for people: the first few names, and how many more there are. */
export function named(names: readonly string[]): string {
  const rest = names.length > MAX_NAMED ? ` and ${names.length - MAX_NAMED} more` : "";
  return `${names.slice(0, MAX_NAMED).join(", ")}${rest}`;
}
