import { type Catalogue, CodedError, type ErrorDetail } from "@secai/formats/errors";
import { formatMistakes, type Mistake } from "./mistake.ts";

export const recipeErrors = {
  RECIPE_INVALID: {
    exit: 2,
    meaning: "A recipe or one of its fragments has mistakes.",
    fix: "Correct every line that is named; `secai recipe check FILE` lists them again.",
  },
} as const satisfies Catalogue;

/** A recipe that cannot be used, with everything that is wrong with it. */
export class RecipeError extends CodedError<keyof typeof recipeErrors> {
  readonly mistakes: readonly Mistake[];

  constructor(mistakes: readonly Mistake[], detail?: ErrorDetail) {
    super("RECIPE_INVALID", recipeErrors.RECIPE_INVALID, {
      expected: "a recipe without mistakes",
      actual: `${mistakes.length} of them\n${formatMistakes(mistakes)}`,
      ...detail,
    });
    this.mistakes = mistakes;
  }
}
