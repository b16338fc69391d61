import { createPrivateKey, sign } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { sha256 } from "../../../attest/formats/digest.ts";
import { legacyTagOf, SIMPLE_SIGNING_TYPE } from "../../../attest/formats/oci-signature.ts";

const MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json";
const TOKEN = "an-anonymous-token";

/** How the registry misbehaves. */
export interface Trouble {
  /** No token for anybody. */
  closed?: boolean;
  /** Sends people for a token to this address instead of its own. */
  realm?: string;
  /** Does not accept the token that it gave. */
  forgetful?: boolean;
  /** Says another digest than that of what it sends. */
  lies?: boolean;
  /** Sends these bytes instead of the blob or manifest of that digest. */
  replaced?: Map<string, Buffer>;
}

/** A container registry on loopback that gives anonymous tokens, as public ones do. */
export interface Registry {
  /** Of /v2/, with a slash at its end. */
  readonly url: string;
  readonly trouble: Trouble;
  /** Paths that were asked for with the token. */
  readonly asked: string[];
  /** Puts an OCI layout's blobs into a repository and tags its manifest. */
  push(repository: string, tag: string, layout: string, digest: string): void;
  pushManifest(repository: string, reference: string, content: Buffer): void;
  pushBlob(repository: string, content: Buffer): { readonly digest: string; readonly size: number };
  close(): Promise<void>;
}

class Store {
  readonly manifests = new Map<string, Buffer>();
  readonly blobs = new Map<string, Buffer>();
}

function challenge(answer: ServerResponse, realm: string): void {
  answer.writeHead(401, {
    "www-authenticate": `Bearer realm="${realm}",service="loopback",scope="repository:everything:pull,push"`,
  });
  answer.end();
}

/** Clients must say which kinds of manifests they understand; ours get nothing otherwise. */
const understands = (request: IncomingMessage): boolean => (request.headers.accept ?? "").includes(MANIFEST_TYPE);

export async function openRegistry(): Promise<Registry> {
  const stores = new Map<string, Store>();
  const trouble: Trouble = {};
  const asked: string[] = [];
  const storeOf = (repository: string): Store => {
    const store = stores.get(repository) ?? new Store();
    stores.set(repository, store);
    return store;
  };
  const find = (repository: string, kind: string, reference: string): Buffer | undefined => {
    const replaced = trouble.replaced?.get(reference);
    const store = storeOf(repository);
    return replaced ?? (kind === "manifests" ? store.manifests.get(reference) : store.blobs.get(reference));
  };
  const server = createServer((request, answer) => {
    const url = new URL(request.url ?? "", "http://loopback");
    if (url.pathname === "/token") {
      if (trouble.closed === true) answer.writeHead(403).end();
      else answer.end(JSON.stringify({ token: TOKEN, scope: url.searchParams.get("scope") }));
      return;
    }
    const realm = trouble.realm ?? `http://127.0.0.1:${(server.address() as AddressInfo).port}/token`;
    const isKnown = request.headers.authorization === `Bearer ${TOKEN}` && trouble.forgetful !== true;
    if (!isKnown) return challenge(answer, realm);
    const [, repository = "", kind = "", reference = ""] = /^\/v2\/(.+)\/(manifests|blobs)\/([^/]+)$/.exec(url.pathname) ?? [];
    asked.push(url.pathname);
    const content = kind === "manifests" && !understands(request) ? undefined : find(repository, kind, reference);
    if (content === undefined) answer.writeHead(404).end();
    else {
      const told = sha256(trouble.lies === true ? "something else" : content);
      // A manifest is served under the type that it was pushed with, which stands in it.
      const type = /"mediaType":"([^"]+)"/.exec(content.toString("utf8"))?.[1] ?? MANIFEST_TYPE;
      const contentType = kind === "manifests" ? type : "application/octet-stream";
      answer.writeHead(200, { "docker-content-digest": `sha256:${told}`, "content-type": contentType });
      answer.end(content);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const pushManifest: Registry["pushManifest"] = (repository, reference, content) => {
    storeOf(repository)
      .manifests.set(reference, content)
      .set(`sha256:${sha256(content)}`, content);
  };
  const pushBlob: Registry["pushBlob"] = (repository, content) => {
    const digest = `sha256:${sha256(content)}`;
    storeOf(repository).blobs.set(digest, content);
    return { digest, size: content.length };
  };
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v2/`,
    ...{ trouble, asked, pushManifest, pushBlob },
    push(repository, tag, layout, digest) {
      for (const name of readdirSync(join(layout, "blobs/sha256"))) {
        const content = readFileSync(join(layout, "blobs/sha256", name));
        if (`sha256:${name}` === digest) pushManifest(repository, tag, content);
        else pushBlob(repository, content);
      }
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export interface SignatureSpec {
  /** What the signature speaks of; default: the image it is attached to, in its repository. */
  readonly reference?: string;
  readonly digest?: string;
  readonly type?: string;
}

/** Attaches a signature as cosign does: the payload in a manifest under a tag made of the image's digest. */
export function attachSignature(
  registry: Registry,
  registryHost: string,
  repository: string,
  imageDigest: string,
  privateKeyPem: string,
  spec: SignatureSpec = {},
): void {
  const payload = Buffer.from(
    JSON.stringify({
      critical: {
        identity: { "docker-reference": spec.reference ?? `${registryHost}/${repository}` },
        image: { "docker-manifest-digest": spec.digest ?? imageDigest },
        type: spec.type ?? "cosign container image signature",
      },
      optional: null,
    }),
  );
  const signature = sign("sha256", payload, createPrivateKey(privateKeyPem)).toString("base64");
  const config = registry.pushBlob(repository, Buffer.from("{}"));
  const layer = registry.pushBlob(repository, payload);
  const manifest = {
    ...{ schemaVersion: 2, mediaType: MANIFEST_TYPE },
    config: { mediaType: "application/vnd.oci.image.config.v1+json", ...config },
    layers: [{ mediaType: SIMPLE_SIGNING_TYPE, ...layer, annotations: { "dev.cosignproject.cosign/signature": signature } }],
  };
  const tag = legacyTagOf(imageDigest.slice("sha256:".length) as Parameters<typeof legacyTagOf>[0]);
  registry.pushManifest(repository, tag, Buffer.from(JSON.stringify(manifest)));
}
