import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openApi } from "@secai/kit/openapi";
import { endpoints } from "@secai/policy-engine/api";
import { expect, test } from "vitest";
import { top } from "./unit.ts";

const page = join(top, "services-src/policy-engine/openapi.json");

test("the OpenAPI page is the one the schemas make", () => {
  const made = `${JSON.stringify(openApi("SecAI policy engine", "1", Object.values(endpoints)), null, 2)}\n`;
  const isThere = existsSync(page);
  if (!isThere) writeFileSync(page, made);
  expect(isThere, "the page was missing and has been written; look at it and commit it").toBe(true);
  expect(JSON.parse(readFileSync(page, "utf8"))).toEqual(JSON.parse(made));
});
