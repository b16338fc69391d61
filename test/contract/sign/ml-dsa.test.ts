import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { generateSigningKey } from "@secai/sign/generate-key";
import { signBlob } from "@secai/sign/sign";
import { build } from "esbuild";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ToolFolder } from "../measure/tool-root.ts";

// The verifier also runs on the appliance's own Node 20: whether its OpenSSL has ML-DSA depends on the distribution.
const folder = new ToolFolder();
afterAll(() => folder.remove());
const at = (name: string) => join(folder.path, name);
const here = (name: string) => new URL(name, import.meta.url).pathname;
const options = { bundle: true, platform: "node", format: "esm", target: "node20", metafile: true } as const;

beforeAll(async () => {
  await build({ ...options, entryPoints: [here("check-ml-dsa.ts")], outfile: at("check.mjs") });
  const [key, stranger] = [generateSigningKey("ml-dsa-65"), generateSigningKey("ml-dsa-65")];
  writeFileSync(at("key.pub"), key.publicPem);
  writeFileSync(at("stranger.pub"), stranger.publicPem);
  writeFileSync(at("file"), "data");
  writeFileSync(at("changed"), "Data");
  writeFileSync(at("bundle.json"), signBlob(Buffer.from("data"), key));
  writeFileSync(at("by-stranger.json"), signBlob(Buffer.from("data"), stranger));
});
const outcome = (...args: readonly string[]) => JSON.parse(folder.run(`node check.mjs ${args.join(" ")}`)) as object;

test("the appliance's Node accepts an ML-DSA-65 signature and nothing near it", () => {
  expect(outcome("key.pub", "bundle.json", "file")).toMatchObject({
    node: expect.stringMatching(/^v20\./),
    outcome: "accepted",
  });
  for (const args of [
    ["key.pub", "bundle.json", "changed"],
    ["stranger.pub", "bundle.json", "file"],
    ["key.pub", "by-stranger.json", "file"],
  ])
    expect(outcome(...args)).toMatchObject({ outcome: "SIGNATURE_INVALID" });
});

test("a program that only reads formats carries no post-quantum library", async () => {
  const stdin = {
    contents: 'export * from "@secai/formats/signature"; export * from "@secai/formats/bundle";',
    resolveDir: here("."),
  };
  const { metafile } = await build({ ...options, stdin, write: false });
  expect(Object.keys(metafile.inputs).filter((name) => name.includes("node_modules"))).toEqual([]);
});
