import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type Sha256, sha256 } from "../../../attest/formats/digest.ts";
import { CodedError } from "../../../attest/formats/errors.ts";
import { parsePublicKey } from "../../../attest/formats/keys.ts";
import { createCache } from "../../../pipelines/engine/cache.ts";
import { createFetcher } from "../../../pipelines/fetch/fetch.ts";
import { createHttpClient } from "../../../pipelines/fetch/http.ts";
import { withRegistryTokens } from "../../../pipelines/fetch/registry.ts";
import type { LockedImage } from "../../../pipelines/lock/bootc-lock.ts";
import { requireSigned } from "../../../pipelines/lock/image-signature.ts";
import { createImageReader, type FoundImage, readImage } from "../../../pipelines/lock/registry-image.ts";
import { fetchImageStep } from "../../../pipelines/steps/silverblue.ts";
import { attachSignature, openRegistry, type Registry, type SignatureSpec } from "./registry.ts";

// What a tag stands for, and who says so, from a registry on loopback that behaves like public ones and then does not.

const HOST = "registry.example";
const OWNER = "owner/base";
const REPOSITORY = `${HOST}/${OWNER}`;
const INDEX = "application/vnd.oci.image.index.v1+json";
const MANIFEST = "application/vnd.oci.image.manifest.v1+json";

const pair = () =>
  generateKeyPairSync("ec", {
    namedCurve: "P-256",
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
  });
const [ours, theirs] = [pair(), pair()];
const key = parsePublicKey(Buffer.from(ours.publicKey));

let registry: Registry;
const client = withRegistryTokens(createHttpClient({ proxyEnv: {} }));
beforeAll(async () => {
  registry = await openRegistry();
});
afterAll(async () => {
  client.close();
  await registry.close();
});
afterEach(() => {
  for (const name of Object.keys(registry.trouble)) delete registry.trouble[name as keyof typeof registry.trouble];
});

/** Pushes a small image; the digest of its manifest. */
function pushImage(tag: string, config: object = {}, layer = "layer"): string {
  const blobs = {
    config: {
      mediaType: "application/vnd.oci.image.config.v1+json",
      ...registry.pushBlob(
        OWNER,
        Buffer.from(
          JSON.stringify({
            ...{ architecture: "amd64", os: "linux", config: { Labels: { "ostree.linux": "6.1" } } },
            ...{ rootfs: { type: "layers", diff_ids: [] } },
            ...config,
          }),
        ),
      ),
    },
    layers: [{ mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", ...registry.pushBlob(OWNER, Buffer.from(layer)) }],
  };
  const manifest = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MANIFEST, ...blobs }));
  registry.pushManifest(OWNER, tag, manifest);
  return `sha256:${sha256(manifest)}`;
}

interface Entry {
  readonly digest: string;
  readonly size: number;
  readonly platform: object;
}

function pushIndex(tag: string, entries: readonly Entry[]): string {
  const manifests = entries.map((entry) => ({ mediaType: MANIFEST, ...entry }));
  const index = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: INDEX, manifests }));
  registry.pushManifest(OWNER, tag, index);
  return `sha256:${sha256(index)}`;
}

const reader = () => createImageReader(client, { [HOST]: [registry.url] }, REPOSITORY);
const read = (reference: string): Promise<FoundImage> => readImage(reader(), reference, "amd64", `${REPOSITORY}:${reference}`);
const verify = (digest: string): Promise<void> => requireSigned(reader(), { repository: REPOSITORY, digest }, key);

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return "accepted";
  } catch (error) {
    return error instanceof CodedError ? error.code : `crash: ${String(error)}`;
  }
}

describe("a registry", () => {
  test("that wants more than nothing for a token is refused", async () => {
    pushImage("closed");
    registry.trouble.closed = true;
    const fresh = withRegistryTokens(createHttpClient({ proxyEnv: {} }));
    const asked = readImage(createImageReader(fresh, { [HOST]: [registry.url] }, REPOSITORY), "closed", "amd64", "x");
    expect(await codeOf(asked)).toBe("FETCH_REGISTRY_REFUSED");
    fresh.close();
  });
  test.each(["ftp://elsewhere/token", "no address", ""])("that sends us to %j for a token is refused", async (realm) => {
    pushImage("realm");
    registry.trouble.realm = realm;
    const fresh = withRegistryTokens(createHttpClient({ proxyEnv: {} }));
    const asked = readImage(createImageReader(fresh, { [HOST]: [registry.url] }, REPOSITORY), "realm", "amd64", "x");
    expect(await codeOf(asked)).toBe("FETCH_REGISTRY_REFUSED");
    fresh.close();
  });
  test("that does not take its own token is refused", async () => {
    pushImage("forgetful");
    registry.trouble.forgetful = true;
    expect(await codeOf(read("forgetful"))).toBe("FETCH_REGISTRY_REFUSED");
  });
  test("that has no such tag is told of", async () => expect(await codeOf(read("nothing"))).toBe("LOCK_ARCHIVE_MISSING"));
  test("that says another digest than that of its bytes is refused", async () => {
    pushImage("lies");
    registry.trouble.lies = true;
    expect(await codeOf(read("lies"))).toBe("LOCK_ARCHIVE_MALFORMED");
  });
  test("that sends other bytes for a digest is refused", async () => {
    const digest = pushImage("swapped");
    registry.trouble.replaced = new Map([[digest, Buffer.from("{}")]]);
    expect(await codeOf(read(digest))).toBe("LOCK_ARCHIVE_MALFORMED");
  });
  test("that sends another configuration is refused", async () => {
    pushImage("config", { history: [] });
    const config = JSON.parse((await reader().manifest("config"))?.toString("utf8") ?? "").config.digest;
    registry.trouble.replaced = new Map([[config, Buffer.from("{}")]]);
    expect(await codeOf(read("config"))).toBe("LOCK_ARCHIVE_MALFORMED");
  });
  test("that nobody named has no address", () => {
    expect(() => createImageReader(client, {}, REPOSITORY)).toThrow(expect.objectContaining({ code: "FETCH_MIRROR_UNKNOWN" }));
  });
});

describe("an image", () => {
  test("for another machine is refused", async () => {
    pushImage("arm", { architecture: "arm64" });
    expect(await codeOf(read("arm"))).toBe("LOCK_ARCHIVE_MALFORMED");
  });
  test.each<[string, string]>([
    ["no manifest", "{}"],
    ["no JSON", "<html>"],
    ["a manifest of version 1", '{"schemaVersion":1}'],
  ])("of %s is refused", async (_, text) => {
    registry.pushManifest(OWNER, "odd", Buffer.from(text));
    expect(await codeOf(read("odd"))).toMatch(/^(SCHEMA_MISMATCH|JSON_MALFORMED)$/);
  });
  test.each<[string, number]>([
    ["no entry", 0],
    ["two entries", 2],
  ])("of an index with %s for the machine is refused", async (_, count) => {
    const digest = pushImage("part");
    const size = (await reader().manifest(digest))?.length ?? 0;
    const other = { digest, size, platform: { os: "linux", architecture: "arm64" } };
    const entry = { digest, size, platform: { os: "linux", architecture: "amd64" } };
    pushIndex("index", [other, ...Array.from({ length: count }, () => entry)]);
    expect(await codeOf(read("index"))).toBe("LOCK_ARCHIVE_MALFORMED");
  });
  test("is read down to the digest of every blob, an index first", async () => {
    const digest = pushImage("plain");
    const size = (await reader().manifest(digest))?.length ?? 0;
    const index = pushIndex("both", [{ digest, size, platform: { os: "linux", architecture: "amd64" } }]);
    const [plain, both] = [await read("plain"), await read("both")];
    expect(plain).toMatchObject({ digest, labels: { "ostree.linux": "6.1" } });
    expect(plain.blobs.map(({ kind }) => kind)).toEqual(["manifest", "blob", "blob"]);
    expect(both.digest).toBe(index);
    expect(both.blobs.slice(1)).toEqual(plain.blobs);
    expect(await read(digest)).toEqual(plain);
  });
  test("is fetched blob by blob, with a token, into the store", async () => {
    const { digest, blobs } = await read("plain");
    const folder = mkdtempSync(join(tmpdir(), "secai-registry-"));
    try {
      const cache = createCache(folder);
      const signer = { kind: "unsigned upstream", identity: "test", verifiedAt: null } as const;
      const image: LockedImage = {
        ...{ name: "base", repository: REPOSITORY, tag: "plain", digest, date: null, signer, kernel: null, blobs },
        packages: [],
      };
      await createFetcher({ mirrors: { [HOST]: [registry.url] }, proxyEnv: {} })(fetchImageStep(image).files, cache.blobs, {});
      for (const blob of blobs) {
        expect(await cache.blobs.has(blob.sha256)).toBe(true);
        expect(sha256(readFileSync(cache.blobs.path(blob.sha256)))).toBe(blob.sha256);
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe("a signature", () => {
  const sign = (digest: string, spec: SignatureSpec = {}, by = ours.privateKey) =>
    attachSignature(registry, HOST, OWNER, digest, by, spec);
  let count = 0;
  const fresh = (): string => pushImage(`signed-${++count}`, {}, `layer ${count}`);

  test("that is not there is refused", async () => expect(await codeOf(verify(fresh()))).toBe("LOCK_IMAGE_UNSIGNED"));
  const wrong: readonly [string, SignatureSpec, string?][] = [
    ["by another key", {}, theirs.privateKey],
    ["of another image", { digest: `sha256:${"a".repeat(64)}` }],
    ["for another repository", { reference: `${HOST}/somebody/else` }],
    ["for a repository whose name begins the same", { reference: `${REPOSITORY}-evil` }],
    ["for no repository", { reference: "" }],
  ];
  test.each(wrong)("%s is refused", async (_, spec, by) => {
    const digest = fresh();
    sign(digest, spec, by);
    expect(await codeOf(verify(digest))).toBe("LOCK_IMAGE_UNSIGNED");
  });
  test("of another kind is refused", async () => {
    const digest = fresh();
    sign(digest, { type: "atomic container signature" });
    expect(await codeOf(verify(digest))).toBe("SCHEMA_MISMATCH");
  });
  test("whose payload was exchanged is refused", async () => {
    const digest = fresh();
    sign(digest);
    const tag = `sha256-${digest.slice(7)}.sig`;
    const { layers } = JSON.parse((await reader().manifest(tag))?.toString("utf8") ?? "");
    registry.trouble.replaced = new Map([[layers[0].digest, Buffer.alloc(layers[0].size)]]);
    expect(await codeOf(verify(digest))).toBe("LOCK_ARCHIVE_MALFORMED");
  });
  test.each(["", ":42"])("by the right key for the right image is accepted, with %j in its reference", async (suffix) => {
    const digest = fresh();
    sign(digest, { reference: `${REPOSITORY}${suffix}` });
    expect(await codeOf(verify(digest))).toBe("accepted");
  });
  test("of an image does not do for another", async () => {
    const [one, other] = [fresh(), fresh()];
    sign(one);
    const tag = (digest: string) => `sha256-${digest.slice(7) as Sha256}.sig`;
    registry.pushManifest(OWNER, tag(other), (await reader().manifest(tag(one))) ?? Buffer.of());
    expect(await codeOf(verify(other))).toBe("LOCK_IMAGE_UNSIGNED");
  });
});
