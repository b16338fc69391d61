import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { hexOfDigest, OCI_TAG, ociIndexShape, ociManifestShape, parseOciDocument } from "@secai/formats/oci";
import { readFiles } from "./oci-layout.ts";

export interface Registry {
  readonly host: string;
  close(): Promise<void>;
}

/**
 * A layout as a read-only registry on loopback (https://github.com/opencontainers/distribution-spec/blob/main/spec.md): manifests by tag
 * and digest, blobs, referrers; whatever the repository's name.
 */
export async function serveLayout(dir: string): Promise<Registry> {
  const server = createServer(({ url = "", method }, response) => {
    const answer = answerFor(readFiles(dir), url);
    const headers = { "content-type": answer?.type ?? "application/json", "content-length": answer?.body.length ?? 0 };
    response.writeHead(answer === undefined ? 404 : 200, headers).end(method === "HEAD" ? undefined : answer?.body);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

function answerFor(
  files: ReadonlyMap<string, Buffer>,
  url: string,
): { readonly type: string; readonly body: Buffer } | undefined {
  if (/^\/v2\/?$/.test(url)) return { type: "application/json", body: Buffer.from("{}") };
  const [, kind = "", reference = ""] = /^\/v2\/.+\/(manifests|blobs|referrers)\/([^/?]+)/.exec(url) ?? [];
  const { manifests } = parseOciDocument(ociIndexShape, files.get("index.json") ?? Buffer.of(), "index");
  const blob = (digest: string) => files.get(`blobs/sha256/${hexOfDigest(digest)}`) ?? Buffer.of();
  if (kind === "referrers") {
    const referring = manifests.filter(
      ({ digest }) => parseOciDocument(ociManifestShape, blob(digest), "manifest").subject?.digest === reference,
    );
    const type = "application/vnd.oci.image.index.v1+json";
    return { type, body: Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: type, manifests: referring })) };
  }
  const named = manifests.find(({ annotations, digest }) => digest === reference || annotations?.[OCI_TAG] === reference);
  if (kind === "manifests") return named && { type: named.mediaType, body: blob(named.digest) };
  const body = kind === "blobs" ? files.get(`blobs/sha256/${hexOfDigest(reference)}`) : undefined;
  return body && { type: "application/octet-stream", body };
}
