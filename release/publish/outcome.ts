/** What publishing did; names are those of the release's files. */
export interface Outcome {
  readonly done: readonly string[];
  /** Files that the target held already, compared by digest. */
  readonly present: readonly string[];
  /** Where people find it, when there is such a place. */
  readonly address?: string;
  /** Of a GitHub release: whether it is still a draft. */
  readonly draft?: boolean;
}
