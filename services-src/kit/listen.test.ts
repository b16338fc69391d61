import { expect, test } from "vitest";
import { parseAddress } from "./listen.ts";

for (const text of [
  "0.0.0.0:8500",
  "127.0.0.2:1",
  "localhost:8500",
  ":8500",
  "[::]:8500",
  "127.0.0.1",
  "127.0.0.1:65536",
  "127.0.0.1:08",
  "192.0.2.1:80",
  "unix:x.sock",
  "unix:",
  "127.0.0.1:1 ",
]) {
  test(`parseAddress rejects ${JSON.stringify(text)}`, () => {
    expect(() => parseAddress(text)).toThrow(expect.objectContaining({ code: "ADDRESS_NOT_LOCAL" }));
  });
}

test("parseAddress takes loopback and Unix sockets", () => {
  expect(parseAddress("127.0.0.1:8500")).toEqual({ host: "127.0.0.1", port: 8500 });
  expect(parseAddress("[::1]:0")).toEqual({ host: "::1", port: 0 });
  expect(parseAddress("unix:/run/secure-ai/x.sock")).toEqual({ socketPath: "/run/secure-ai/x.sock" });
});
