import { type Catalogue, CodedError, type ErrorDetail } from "@secai/formats/errors";

export const kernelModuleErrors = {
  KERNEL_MODULE_MISMATCH: {
    exit: 1,
    meaning: "A kernel module, or the headers it is compiled against, is for another kernel than the image's.",
    fix: "Lock the headers and the image's kernel together: secai lock update.",
  },
  KERNEL_MODULE_PATCH: {
    exit: 1,
    meaning: "A patch of recipes/patches does not fit the sources of the locked package.",
    fix: "Remove the patch if the package has the change by now; otherwise write it anew.",
  },
  KERNEL_MODULE_MISSING: {
    exit: 1,
    meaning: "The sources compiled, but one of the kernel modules that the recipe names did not come out.",
    fix: "Correct the module's name; the step's log lists what was linked.",
  },
  KERNEL_MODULE_UNDESCRIBED: {
    exit: 1,
    meaning: "A kernel module does not say what it is: licence, version and kernel must stand in it once each.",
    fix: "Look at it with modinfo; a genuine module names all three.",
  },
  KERNEL_MODULE_UNSIGNED: {
    exit: 1,
    meaning: "A kernel module carries no signature of the form that the kernel reads.",
    fix: "Run the step that signs modules again; strip nothing from a module after that.",
  },
  KERNEL_MODULE_UNTRUSTED: {
    exit: 1,
    meaning: "The signature of a kernel module was not made over these bytes with the key of the given certificate.",
    fix: "Check that db.key belongs to db.crt, and sign again.",
  },
} as const satisfies Catalogue;

/** Kernel modules that the image's kernel would not, or should not, load. */
export class KernelModuleError extends CodedError<keyof typeof kernelModuleErrors> {
  constructor(code: keyof typeof kernelModuleErrors, detail?: ErrorDetail) {
    super(code, kernelModuleErrors[code], detail);
  }
}
