import { damagedFiles } from "./files.ts";
import { harmless } from "./harmless.ts";
import { insiderCases } from "./insiders.ts";
import { policyCases } from "./policies.ts";
import { questions } from "./questions.ts";
import { runningCases } from "./running.ts";
import { runtimeCases } from "./runtime.ts";
import type { Case } from "./scene.ts";
import { seeds } from "./seeds.ts";
import { fileCases } from "./single.ts";
import { spoiledStatements } from "./statements.ts";
import { trustCases } from "./trust.ts";

/** Every case of the self-test. `names` are the files of the release that they start from. */
export const allCases = (names: readonly string[]): readonly Case[] => [
  ...seeds(names),
  ...damagedFiles(names),
  ...spoiledStatements(names),
  ...insiderCases,
  ...runtimeCases,
  ...runningCases,
  ...trustCases,
  ...policyCases,
  ...fileCases,
  ...questions,
  ...harmless,
];
