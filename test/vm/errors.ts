import { type Catalogue, CodedError, type ErrorDetail } from "../../attest/formats/errors.ts";

export const vmErrors = {
  CHECK_FAILED: {
    exit: 1,
    meaning: "The machine under test did not behave as documented.",
    fix: "Read the scenario's serial log in the run directory; run it alone with --only ID --keep.",
  },
  GUEST_PANIC: {
    exit: 1,
    meaning: "The kernel of the machine under test panicked.",
    fix: "Read the serial log in the run directory.",
  },
  GUEST_UNIT_FAILED: {
    exit: 1,
    meaning: "A systemd unit of the machine under test failed while a scenario waited for something else.",
    fix: "Read the serial log in the run directory, and the journal with --only ID --keep.",
  },
  GUEST_STOPPED: {
    exit: 1,
    meaning: "The machine under test ended while a scenario waited for something else.",
    fix: "Read the serial log in the run directory.",
  },
  GUEST_TIMEOUT: {
    exit: 1,
    meaning: "The machine under test did not do what it should within the limit.",
    fix: "Read what was last seen in the message, and the serial log in the run directory.",
  },
  HARNESS_TOOL_FAILED: {
    exit: 3,
    meaning: "A tool of the test bench ended with an error; nothing is known about the machine under test.",
    fix: "Read the tool's output in the message; rebuild the machine tool root if a program is missing.",
  },
  HARNESS_QEMU_FAILED: {
    exit: 3,
    meaning: "QEMU or its TPM emulator did not start or ended by itself.",
    fix: "Read qemu.log and swtpm.log in the run directory.",
  },
  HARNESS_PROTOCOL: {
    exit: 3,
    meaning: "The control channel, QMP or a disk image did not speak the format the test bench expects.",
    fix: "Run the scenario again with --keep and read the run directory.",
  },
  CAPABILITY_MISSING: {
    exit: 3,
    meaning: "This host or this release lacks something that a scenario needs.",
    fix: "Provide what the message names, or leave the scenario out with --only.",
  },
  SUITE_USAGE: {
    exit: 2,
    meaning: "A suite was started with an option or value it does not have.",
    fix: "Run it with --help.",
  },
} as const satisfies Catalogue;

export type VmErrorCode = keyof typeof vmErrors;

export class VmError extends CodedError<VmErrorCode> {
  constructor(code: VmErrorCode, detail?: ErrorDetail) {
    super(code, vmErrors[code], detail);
  }
}

/** A failed test, a broken test bench and a missing capability are three different reports. */
export type Outcome = "passed" | "failed" | "fault" | "missing";

/** Anything that is not ours is a fault of the bench, never a verdict on the machine. */
export function outcomeOf(error: unknown): Exclude<Outcome, "passed"> {
  if (!(error instanceof VmError)) return "fault";
  if (error.code === "CAPABILITY_MISSING") return "missing";
  return error.exit === 1 ? "failed" : "fault";
}
