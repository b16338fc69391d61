import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { endpoints } from "@secai/incident-recorder/api";
import { openApi } from "@secai/kit/openapi";
import { expect, test } from "vitest";
import { top } from "./recorder.ts";

const page = join(top, "services-src/incident-recorder/openapi.json");

test("the OpenAPI page is the one the schemas make", () => {
  const made = `${JSON.stringify(openApi("SecAI incident recorder", "1", Object.values(endpoints)), null, 2)}\n`;
  const isThere = existsSync(page);
  if (!isThere) writeFileSync(page, made);
  expect(isThere, "the page was missing and has been written; look at it and commit it").toBe(true);
  expect(JSON.parse(readFileSync(page, "utf8"))).toEqual(JSON.parse(made));
});
