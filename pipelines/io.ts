/** What a subcommand may touch of the outside: its two streams, the checkout, the environment and an interrupt. */
export interface CommandIo {
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
  /** Top of the repository. */
  readonly top: string;
  readonly env: NodeJS.ProcessEnv;
  readonly signal?: AbortSignal;
}

/** Help goes to standard output when it was asked for, and after wrong use to standard error. The exit status. */
export function printHelp({ stdout, stderr }: Pick<CommandIo, "stdout" | "stderr">, help: string, asked: boolean): 0 | 2 {
  (asked ? stdout : stderr)(help);
  return asked ? 0 : 2;
}
