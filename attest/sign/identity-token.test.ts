import { strict as assert } from "node:assert";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, test } from "vitest";
import { tokenSource } from "./identity-token.ts";

const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
const tokenOf = (claims: object) => `${part({ alg: "ES256" })}.${part(claims)}.c2ln`;
const TOKEN = tokenOf({ sub: "me", exp: 4_000_000_000 });

/** GitHub's token service, as a job sees it. */
let answer: { readonly status: number; readonly body: string } = { status: 200, body: "" };
let asked: { readonly url: string | undefined; readonly authorization: string | undefined }[] = [];
const server = createServer(({ url, headers }, response) => {
  asked.push({ url, authorization: headers.authorization });
  response.writeHead(answer.status, { location: "/elsewhere" }).end(answer.body);
});
beforeAll(() => new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve)));
afterAll(() => new Promise((resolve) => server.close(resolve)));
const job = () => ({
  ACTIONS_ID_TOKEN_REQUEST_URL: `http://127.0.0.1:${(server.address() as AddressInfo).port}/token?api-version=2`,
  ACTIONS_ID_TOKEN_REQUEST_TOKEN: "bearer-secret",
});

test("a job of GitHub Actions asks for a token for the certificate authority", async () => {
  asked = [];
  answer = { status: 200, body: JSON.stringify({ count: 1, value: TOKEN }) };
  assert.equal(await tokenSource({ env: job() })(), TOKEN);
  assert.deepEqual(asked, [{ url: "/token?api-version=2&audience=sigstore", authorization: "Bearer bearer-secret" }]);
  assert.equal(await tokenSource({ env: { SIGSTORE_ID_TOKEN: ` ${TOKEN}\n` } })(), TOKEN);
});

const answers: readonly (readonly [name: string, status: number, body: string])[] = [
  ["a refusal", 403, "{}"],
  ["a redirection", 302, "{}"],
  ["no JSON", 200, "token"],
  ["no token", 200, "{}"],
  ["a token that is no text", 200, '{"value":1}'],
  ["a token without subject", 200, JSON.stringify({ value: tokenOf({ iss: "x" }) })],
  ["a token that has expired", 200, JSON.stringify({ value: tokenOf({ sub: "x", exp: 1_000_000_000 }) })],
  ["a large answer", 200, JSON.stringify({ value: "x".repeat(40_000) })],
];
for (const [name, status, body] of answers) {
  test(`an answer with ${name} gives no token, and no secret in the message`, async () => {
    answer = { status, body };
    await assert.rejects(tokenSource({ env: job() })(), ({ code, message }: { code: string; message: string }) => {
      assert.equal(code, "IDENTITY_TOKEN_UNAVAILABLE");
      assert.doesNotMatch(message, /bearer-secret|eyJ/);
      return true;
    });
  });
}

for (const text of ["", "x", "a.b", "a.b.c.d", "a b.c.d", `${TOKEN}x.y`, part({ sub: "me" })]) {
  test(`${JSON.stringify(text.slice(0, 12))} is no token`, () =>
    assert.rejects(tokenSource({ env: { SIGSTORE_ID_TOKEN: text } })(), { code: "IDENTITY_TOKEN_UNAVAILABLE" }));
}
