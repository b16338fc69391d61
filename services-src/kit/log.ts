import { CodedError } from "@secai/formats/errors";

/** One line of the service log. Values go into named fields, never into the message. */
export type Log = (level: "info" | "warning" | "error", message: string, fields?: Readonly<Record<string, unknown>>) => void;

/** JSON lines on stderr, where the journal picks them up. Never a security record: those go to the audit log. */
export function createLog(service: string): Log {
  return (level, message, fields = {}) => {
    process.stderr.write(`${JSON.stringify({ time: new Date().toISOString(), level, service, message, ...fields })}\n`);
  };
}

/** What an error says for the log: its code where it has one, and never a stack of a mistake that was foreseen. */
export function errorFields(error: unknown): Record<string, unknown> {
  if (!(error instanceof Error)) return { error: String(error) };
  if (error instanceof CodedError) return { code: error.code, error: error.message, fix: error.fix };
  return { error: error.message, stack: error.stack };
}
