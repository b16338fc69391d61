import { describe, expect, test } from "vitest";
import { createBearer } from "./auth.ts";

const tokens = { read: "11".repeat(32), operator: "22".repeat(32), "reporter.agent": "33".repeat(32) };
type Name = keyof typeof tokens;
const clock = { nowMs: () => 0, monotonicMs: () => 0 };

function bearer() {
  const recorded: { reason: string; scope?: string }[] = [];
  const authenticate = createBearer({ tokens, clock, record: async (data) => recorded.push(data) });
  return { recorded, present: (name: Name, allowed: readonly string[]) => authenticate(`Bearer ${tokens[name]}`, allowed) };
}

describe("every scope on every other scope's requests", () => {
  const names = Object.keys(tokens) as Name[];
  for (const wanted of names)
    for (const held of names)
      test(`${held} for ${wanted}`, async () => {
        const { recorded, present } = bearer();
        if (held === wanted) expect(await present(held, [wanted])).toBe(held);
        else {
          await expect(present(held, [wanted])).rejects.toMatchObject({ code: "HTTP_FORBIDDEN", status: 403 });
          expect(recorded).toEqual([{ reason: "token of another scope", unrecorded: 0, scope: held }]);
        }
      });
});

test("a request that several scopes may make says whose it was", async () => {
  expect(await bearer().present("operator", ["read", "operator"])).toBe("operator");
});

test("two scopes with one secret: no start", () => {
  const shared = { ...tokens, operator: tokens.read };
  expect(() => createBearer({ tokens: shared, clock, record: async () => {} })).toThrow(
    expect.objectContaining({ code: "CREDENTIAL_SHARED" }),
  );
});
