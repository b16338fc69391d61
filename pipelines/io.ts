/** What a subcommand may touch of the outside: its two streams, the checkout, the environment and an interrupt. */
export interface CommandIo {
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
  /** Top of the repository. */
  readonly top: string;
  readonly env: NodeJS.ProcessEnv;
  readonly signal?: AbortSignal;
}
