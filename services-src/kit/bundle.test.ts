import { createHash } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { importBytes, readVerifiedBundle } from "./bundle.ts";

let directory: string;
let manifest: string;
let bundle: string;
const code = "globalThis.bundleRan = import.meta.url.slice(0, 5);\n";
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "secai-bundle-"));
  manifest = join(directory, "services.json");
  bundle = join(directory, "demo.mjs");
  await writeFile(bundle, code);
  await writeManifest({ schema: 1, services: { demo: { path: bundle, sha256: sha256(code) } } });
});
afterEach(() => rm(directory, { recursive: true }));

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");
const writeManifest = (value: unknown): Promise<void> =>
  writeFile(manifest, typeof value === "string" ? value : JSON.stringify(value));

test("the very bytes that were checked run", async () => {
  const bytes = await readVerifiedBundle(manifest, "demo");
  await writeFile(bundle, "globalThis.bundleRan = 'swapped';");
  await importBytes("demo", bytes);
  expect(globalThis).toHaveProperty("bundleRan", "data:");
});

test("a bundle with one more byte is refused", async () => {
  await writeFile(bundle, `${code} `);
  await expect(readVerifiedBundle(manifest, "demo")).rejects.toMatchObject({ code: "BUNDLE_DIGEST" });
});

for (const name of ["other", "../demo", "__proto__", "constructor", ""]) {
  test(`the name ${JSON.stringify(name)} is refused`, async () => {
    await expect(readVerifiedBundle(manifest, name)).rejects.toMatchObject({ code: "BUNDLE_UNKNOWN" });
  });
}

const entry = { path: "/x.mjs", sha256: "0".repeat(64) };
const malformed: readonly { name: string; value: unknown }[] = [
  { name: "no JSON", value: "{" },
  { name: "a duplicate key", value: '{"schema":1,"services":{},"services":{}}' },
  { name: "another schema", value: { schema: 2, services: {} } },
  { name: "an unknown key", value: { schema: 1, services: {}, more: 1 } },
  { name: "no services", value: { schema: 1 } },
  { name: "services as a list", value: { schema: 1, services: [] } },
  { name: "a relative path", value: { schema: 1, services: { demo: { ...entry, path: "x.mjs" } } } },
  { name: "an upper-case digest", value: { schema: 1, services: { demo: { ...entry, sha256: "A".repeat(64) } } } },
  { name: "an unknown key of an entry", value: { schema: 1, services: { demo: { ...entry, args: [] } } } },
  { name: "a name with a slash", value: { schema: 1, services: { "a/b": entry } } },
];
for (const { name, value } of malformed) {
  test(`a manifest with ${name} is refused`, async () => {
    await writeManifest(value);
    await expect(readVerifiedBundle(manifest, "demo")).rejects.toMatchObject({ code: "BUNDLE_MANIFEST" });
  });
}

test("a missing manifest is refused", async () => {
  await rm(manifest);
  await expect(readVerifiedBundle(manifest, "demo")).rejects.toMatchObject({ code: "BUNDLE_MANIFEST" });
});
