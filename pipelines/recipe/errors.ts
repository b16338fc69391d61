import { type Catalogue, CodedError, type ErrorDetail } from "@secai/formats/errors";
import { formatMistakes, type Mistake } from "./mistake.ts";

export const recipeErrors = {
  RECIPE_INVALID: {
    exit: 2,
    meaning: "A recipe or one of its fragments has mistakes.",
    fix: "Correct every line that is named; `secai recipe check FILE` lists them again.",
  },
  RECIPE_KIND_UNSUPPORTED: {
    exit: 2,
    meaning: "The command is about something that an image with this kind of base does not have.",
    fix: "Name a recipe with base.kind debian.",
  },
} as const satisfies Catalogue;

/** A recipe that is right, for another command. */
export class RecipeKindError extends CodedError<"RECIPE_KIND_UNSUPPORTED"> {
  constructor(code: "RECIPE_KIND_UNSUPPORTED", detail?: ErrorDetail) {
    super(code, recipeErrors[code], detail);
  }
}

/** A recipe that cannot be used, with everything that is wrong with it. */
export class RecipeError extends CodedError<"RECIPE_INVALID"> {
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
