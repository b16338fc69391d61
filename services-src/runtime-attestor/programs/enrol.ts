import { CodedError } from "@secai/kit/errors";
import { runEnrolment } from "../enrolment.ts";

try {
  process.exitCode = await runEnrolment(process.argv.slice(2), process.env, (text) => void process.stdout.write(text));
} catch (error) {
  const fix = error instanceof CodedError && error.fix !== "" ? `\n${error.fix}` : "";
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}${fix}\n`);
  process.exitCode = error instanceof CodedError ? error.exit : 70;
}
