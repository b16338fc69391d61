import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseYaml } from "@secai/kit/config";
import type { Shape } from "@secai/kit/schema";
import { decisionRequest } from "@secai/policy-engine/api";
import { agentFile, policyFile } from "@secai/policy-engine/policy-schema";
import { Ajv2020 } from "ajv/dist/2020.js";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { top } from "./unit.ts";

const shipped = <T>(name: string, shape: Shape<T>): unknown =>
  parseYaml(name, readFileSync(join(top, "image/common/etc/secure-ai/policy", name)), shape);
const documents: readonly (readonly [Shape<unknown>, unknown])[] = [
  [policyFile, shipped("policy.yaml", policyFile)],
  [agentFile, shipped("agent.yaml", agentFile)],
  [decisionRequest, { domain: "tool_access", subject: "x", action: "read", session_mode: "standard", params: { path: "/a" } }],
];

/** Every place in a document, as the keys that lead to it. */
function places(value: unknown, path: readonly string[] = []): string[][] {
  const inner =
    typeof value === "object" && value !== null
      ? Object.entries(value).flatMap(([key, member]) => places(member, [...path, key]))
      : [];
  return [[...path], ...inner];
}

/** The document with the value at one place replaced, or taken out (undefined). */
function changed(value: unknown, [key, ...rest]: readonly string[], replacement: unknown): unknown {
  if (key === undefined) return replacement;
  const members = Object.entries(value as object).map(([name, member]) => [
    name,
    name === key ? changed(member, rest, replacement) : member,
  ]);
  const kept = (Object.hasOwn(value as object, key) ? members : [...members, [key, replacement]]).filter(
    ([, member]) => member !== undefined,
  );
  return Array.isArray(value) ? kept.map(([, member]) => member) : Object.fromEntries(kept);
}

describe("the interpreter of the services and ajv in strict mode agree", () => {
  for (const [shape, document] of documents) {
    test(`on ${shape.name} and on changes of it`, () => {
      const validate = new Ajv2020({ strict: true, strictTypes: false }).compile(shape.schema);
      expect([shape.is(document), validate(document)]).toEqual([true, true]);
      fc.assert(
        fc.property(
          fc.constantFrom(...places(document)),
          fc.option(fc.jsonValue(), { nil: undefined }),
          fc.string(),
          (place, value, extra) => {
            for (const document_ of [changed(document, place, value), changed(document, [...place, extra], 1)]) {
              const plain: unknown = document_ === undefined ? null : JSON.parse(JSON.stringify(document_));
              expect(shape.is(plain)).toBe(validate(plain));
            }
          },
        ),
        { numRuns: 300 },
      );
    });
  }
});
