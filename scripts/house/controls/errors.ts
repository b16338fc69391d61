import { type Catalogue, CodedError, type ErrorDetail } from "@secai/formats/errors";

export const controlErrors = {
  CONTROLS_USAGE: {
    exit: 2,
    meaning: "The control matrix was asked for with an option or value it does not have.",
    fix: "Run `node scripts/control-matrix.ts --help`.",
  },
  CONTROLS_INVALID: {
    exit: 2,
    meaning: "docs/controls.yaml is not a list of controls with proofs or reasons, of parts of this repository.",
    fix: "Correct what the message names; the comment at the top of the file says what belongs in it.",
  },
  CONTROL_SCENARIO_UNKNOWN: {
    exit: 2,
    meaning: "A control names a scenario that no suite has, or that two suites have.",
    fix: "Name one that `node test/acceptance/main.ts --list` and its neighbours print, or say as `reason` why there is none.",
  },
  CONTROL_SUITE_UNLISTED: {
    exit: 3,
    meaning: "A suite did not print the list of its scenarios.",
    fix: "Run it with --list and mend what it says.",
  },
  CONTROL_EVIDENCE_MISSING: {
    exit: 3,
    meaning: "A release lacks something that a citation of its test results needs.",
    fix: "Run the suites over it and add what they write with `secai release attest`.",
  },
  CONTROL_STATEMENT_UNSIGNED: {
    exit: 1,
    meaning: "A test result lies in a release without the signed statement that belongs to it.",
    fix: "Add it with `secai release attest`, which signs it; never cite it as it is.",
  },
  CONTROL_STATEMENT_FOREIGN: {
    exit: 1,
    meaning: "A signed statement is not a test result of that suite over that very image.",
    fix: "Run the suite over the image that the release ships, and attest what it writes.",
  },
  CONTROL_REPORT_FOREIGN: {
    exit: 1,
    meaning: "A suite's report is not the one whose digest the signed statement names.",
    fix: "Give the file that the suite wrote in the run that was attested.",
  },
  CONTROL_TIMELINE_BROKEN: {
    exit: 1,
    meaning: "A scenario that passed lacks a moment of its timeline, or has one before the moment that it follows.",
    fix: "Let the scenario measure every moment that docs/controls.yaml names, on one clock.",
  },
  CONTROL_PAGES_STALE: {
    exit: 1,
    meaning: "A generated page is not what the controls, the suites and the recorded statements make of it.",
    fix: "Run `node scripts/control-matrix.ts --write`.",
  },
} as const satisfies Catalogue;

export class ControlError extends CodedError<keyof typeof controlErrors> {
  constructor(code: keyof typeof controlErrors, detail?: ErrorDetail) {
    super(code, controlErrors[code], detail);
  }
}
