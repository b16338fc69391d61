import { randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSigner } from "@secai/kit/signing";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type BaselineContent, openBaseline, sealBaseline } from "./baseline.ts";
import { createBaselineStore } from "./baseline-store.ts";
import { GpuWatchError } from "./errors.ts";

const signer = createSigner(randomBytes(32).toString("hex"));
const content: BaselineContent = {
  tensor_hashes: { "m.gguf": "a".repeat(64) },
  sentinel_refs: [{ name: "s", input: "?", expected: "!" }],
  drivers: [{ module: "amdgpu", version: null, srcversion: "ABC", file_sha256: null }],
  root_hash: null,
  devices: ["/dev/dri/card0"],
};
const when = "2026-01-01T00:00:00.000Z";
const { bytes } = sealBaseline(content, when, signer);
const edited = (from: string | RegExp, to: string) => Buffer.from(bytes.replace(from, to));

const refused = [
  { name: "another digest of a model", with: edited("a".repeat(64), "b".repeat(64)), code: "GPU_BASELINE_SIGNATURE" },
  { name: "another answer", with: edited('"expected":"!"', '"expected":"?"'), code: "GPU_BASELINE_SIGNATURE" },
  { name: "another time", with: edited("2026-01", "2027-01"), code: "GPU_BASELINE_SIGNATURE" },
  { name: "one device less", with: edited('"/dev/dri/card0"', ""), code: "GPU_BASELINE_SIGNATURE" },
  { name: "another key's name", with: edited(/"key_id":"./, '"key_id":"'), code: "GPU_BASELINE_MALFORMED" },
  { name: "an unknown member", with: edited('"schema":2', '"schema":2,"x":1'), code: "GPU_BASELINE_MALFORMED" },
  { name: "an older schema", with: edited('"schema":2', '"schema":1'), code: "GPU_BASELINE_MALFORMED" },
  { name: "a member twice", with: edited('"schema":2', '"schema":2,"schema":2'), code: "GPU_BASELINE_MALFORMED" },
  { name: "its end missing", with: Buffer.from(bytes.slice(0, -3)), code: "GPU_BASELINE_MALFORMED" },
  { name: "nothing", with: Buffer.alloc(0), code: "GPU_BASELINE_MALFORMED" },
  { name: "YAML", with: Buffer.from("captured_at: x\ntensor_hashes: {}\n"), code: "GPU_BASELINE_MALFORMED" },
  {
    name: "another machine's signature",
    with: Buffer.from(sealBaseline(content, when, createSigner("0".repeat(64))).bytes),
    code: "GPU_BASELINE_FOREIGN",
  },
  {
    name: "our name on another's signature",
    with: Buffer.from(sealBaseline(content, when, { ...createSigner("0".repeat(64)), keyId: signer.keyId }).bytes),
    code: "GPU_BASELINE_SIGNATURE",
  },
];
for (const row of refused)
  test(`a baseline is refused with ${row.name}`, () => {
    expect(() => openBaseline(row.with, signer)).toThrow(expect.objectContaining({ code: row.code }));
  });

test("a baseline opens as it was sealed", () => {
  expect(openBaseline(Buffer.from(bytes), signer).content).toEqual(content);
});
test("a signature over another kind of document does not count", () => {
  const other = {
    ...signer,
    sign: (_domain: string, value: Parameters<typeof signer.sign>[1]) => signer.sign("SecAI-Other", value),
  };
  expect(() => openBaseline(Buffer.from(sealBaseline(content, when, other).bytes), signer)).toThrow(
    expect.objectContaining({ code: "GPU_BASELINE_SIGNATURE" }),
  );
});
test("any flipped byte is refused by name", () => {
  const whole = Buffer.from(bytes);
  fc.assert(
    fc.property(fc.nat(whole.length - 2), fc.integer({ min: 1, max: 255 }), (at, mask) => {
      const copy = Buffer.from(whole);
      copy[at] = (copy[at] ?? 0) ^ mask;
      expect(() => openBaseline(copy, signer)).toThrow(GpuWatchError);
    }),
  );
});

describe("the store", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "secai-gpu-baseline-"));
  });
  afterEach(() => rm(folder, { recursive: true }));
  const paths = () => ({ path: join(folder, "baseline.json"), anchor: join(folder, "baseline.digest") });
  const store = () => createBaselineStore(paths().path, paths().anchor, signer);

  test("none at first, then what was saved", async () => {
    expect(await store().load()).toBeUndefined();
    const saved = await store().save(content, when);
    expect(await store().load()).toEqual(saved);
  });
  test("one that was removed is missed", async () => {
    await store().save(content, when);
    await rm(paths().path);
    await expect(store().load()).rejects.toMatchObject({ code: "GPU_BASELINE_MISSING" });
  });
  test("an older genuine one is noticed", async () => {
    await store().save(content, when);
    const old = await readFile(paths().path);
    await store().save({ ...content, devices: [] }, when);
    await writeFile(paths().path, old);
    await expect(store().load()).rejects.toMatchObject({ code: "GPU_BASELINE_REPLACED" });
  });
  test("one without its anchor is not believed", async () => {
    await store().save(content, when);
    await rm(paths().anchor);
    await expect(store().load()).rejects.toMatchObject({ code: "GPU_BASELINE_REPLACED" });
  });
  test("a symbolic link in its place is refused", async () => {
    await store().save(content, when);
    const genuine = join(folder, "elsewhere");
    await writeFile(genuine, await readFile(paths().path));
    await rm(paths().path);
    await symlink(genuine, paths().path);
    await expect(store().load()).rejects.toMatchObject({ code: "GPU_BASELINE_MALFORMED" });
  });
  test("a power cut between the anchor and the baseline leaves the old one in force", async () => {
    const first = await store().save(content, when);
    const old = await readFile(paths().path);
    const second = await store().save({ ...content, devices: [] }, when);
    await writeFile(paths().path, old);
    await writeFile(paths().anchor, `${first.digest}\n${second.digest}\n`);
    expect((await store().load())?.digest).toBe(first.digest);
  });
});
