import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { checkRecipe } from "./check.ts";

/** The recipe that is checked. */
export const SMALL = "recipes/small.yaml";

/** A repository of recipes and nothing else, in a temporary folder. */
export class RecipeFolder {
  readonly top = mkdtempSync(join(tmpdir(), "secai-recipe-"));

  write(file: string, text: string): void {
    mkdirSync(dirname(join(this.top, file)), { recursive: true });
    writeFileSync(join(this.top, file), text);
  }

  /** What there is to say of the small recipe with this text. */
  async check(text: string): ReturnType<typeof checkRecipe> {
    this.write(SMALL, text);
    return await checkRecipe(this.top, SMALL);
  }

  remove(): void {
    rmSync(this.top, { recursive: true, force: true });
  }
}
