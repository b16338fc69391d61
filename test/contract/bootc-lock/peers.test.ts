import { spawn } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { sha256 } from "../../../attest/formats/digest.ts";
import { toolCommand } from "../../../pipelines/engine/sandbox.ts";
import { createHttpClient } from "../../../pipelines/fetch/http.ts";
import { withRegistryTokens } from "../../../pipelines/fetch/registry.ts";
import { createImageReader, readImage } from "../../../pipelines/lock/registry-image.ts";
import { toolRootPath } from "../measure/tool-root.ts";
import { attachSignature, openRegistry, type Registry } from "./registry.ts";

// Whether the registry on loopback, and the signatures in it, are what others take for such: skopeo and cosign, from the tool root.

const OWNER = "owner/base";
const folder = mkdtempSync(join(tmpdir(), "secai-registry-peers-"));
const pem = () =>
  generateKeyPairSync("ec", {
    namedCurve: "P-256",
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
  });
const [ours, theirs] = [pem(), pem()];
let registry: Registry;
let host: string;
let digest: string;

beforeAll(async () => {
  registry = await openRegistry();
  host = new URL(registry.url).host;
  const config = {
    architecture: "amd64",
    os: "linux",
    config: {},
    rootfs: { type: "layers", diff_ids: [`sha256:${sha256("layer")}`] },
  };
  const manifest = Buffer.from(
    JSON.stringify({
      ...{ schemaVersion: 2, mediaType: "application/vnd.oci.image.manifest.v1+json" },
      config: {
        mediaType: "application/vnd.oci.image.config.v1+json",
        ...registry.pushBlob(OWNER, Buffer.from(JSON.stringify(config))),
      },
      layers: [{ mediaType: "application/vnd.oci.image.layer.v1.tar", ...registry.pushBlob(OWNER, Buffer.from("layer")) }],
    }),
  );
  registry.pushManifest(OWNER, "42", manifest);
  digest = `sha256:${sha256(manifest)}`;
  attachSignature(registry, host, OWNER, digest, ours.privateKey);
  writeFileSync(join(folder, "ours.pub"), ours.publicKey);
  writeFileSync(join(folder, "theirs.pub"), theirs.publicKey);
});
afterAll(async () => {
  await registry.close();
  rmSync(folder, { recursive: true });
});

/** Runs a tool of the tool root that reaches this machine's loopback; the registry answers from this process meanwhile. */
function run(argv: readonly string[]): Promise<{ readonly status: number | null; readonly output: string }> {
  const binds = [{ src: folder, dst: folder, writable: true }];
  const env = { HOME: folder };
  const [command = "", ...args] = toolCommand({ root: toolRootPath(), argv, binds, env, network: "host", cwd: folder });
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], timeout: 60_000 });
    const pieces: string[] = [];
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding("utf8").on("data", (text: string) => void pieces.push(text));
    child.on("error", reject);
    child.on("close", (status) => resolve({ status, output: pieces.join("") }));
  });
}

test("skopeo gets a token, and reads the digest and the layers that we read", async () => {
  const client = withRegistryTokens(createHttpClient({ proxyEnv: {} }));
  const reader = createImageReader(client, { [host]: [registry.url] }, `${host}/${OWNER}`);
  const found = await readImage(reader, "42", "amd64", "the image");
  client.close();
  const { status, output } = await run(["skopeo", "inspect", "--no-tags", "--tls-verify=false", `docker://${host}/${OWNER}:42`]);
  expect({ status, output: status === 0 ? "" : output }).toEqual({ status: 0, output: "" });
  const { Digest, Layers } = JSON.parse(output);
  expect({ Digest, Layers }).toEqual({ Digest: found.digest, Layers: [`sha256:${found.blobs.at(-1)?.sha256}`] });
}, 90_000);

test("cosign accepts the signature that we accept, and refuses another key's", async () => {
  const verify = (key: string) =>
    run([
      ...["cosign", "verify", "--key", join(folder, key), "--insecure-ignore-tlog=true", "--allow-http-registry"],
      `${host}/${OWNER}@${digest}`,
    ]);
  const accepted = await verify("ours.pub");
  expect({ status: accepted.status, output: accepted.status === 0 ? "" : accepted.output }).toEqual({ status: 0, output: "" });
  expect((await verify("theirs.pub")).status).not.toBe(0);
}, 90_000);
