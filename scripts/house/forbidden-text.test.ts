import { generateKeyPairSync } from "node:crypto";
import { expect, test } from "vitest";
import { forbiddenText, localHosts } from "./forbidden-text.ts";

test("the mirrors of a machine are its npm registry and apt sites, less loopback", () => {
  const configuration = "https://user:pw@npm.corp.example:8443/r/\nhttp://DEB.corp.example/debian\nhttp://localhost:4873/\n";
  expect(localHosts(configuration)).toEqual(["deb.corp.example", "npm.corp.example"]);
});

test("a mirror's name is found by line, in any case, and not repeated in the finding", () => {
  const findings = forbiddenText("a.ts", "one\nfetch('https://DEB.Corp.example/x')\n", ["deb.corp.example"]);
  expect(findings).toEqual(["a.ts:2: names a package mirror of this machine"]);
});

test("private keys are found, the words alone are not", () => {
  for (const type of ["pkcs8", "sec1"] as const) {
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    expect(forbiddenText("k", String(privateKey.export({ type, format: "pem" })), [])).toEqual(["k: holds a private key"]);
  }
  expect(forbiddenText("k", "text of -----BEGIN PRIVATE KEY----- in a sentence", [])).toEqual([]);
});
