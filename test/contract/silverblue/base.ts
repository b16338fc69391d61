import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { sha256 } from "../../../attest/formats/digest.ts";
import type { Bench } from "./bench.ts";
import { elfModule } from "./elf-module.ts";
import { basePackages, buildRpms, VERMAGIC } from "./rpms.ts";

export const PLATFORM = "linux/amd64";

export interface Layer {
  /** A tar archive. */
  readonly archive: Uint8Array;
  readonly compression: "none" | "gzip" | "zstd";
}

/** Writes an OCI image layout over archives; the digest of its manifest. */
export function writeImage(
  bench: Bench,
  folder: string,
  layers: readonly Layer[],
  labels: Readonly<Record<string, string>> = {},
): string {
  mkdirSync(bench.at(folder, "blobs/sha256"), { recursive: true });
  const blob = (mediaType: string, bytes: Uint8Array) => {
    writeFileSync(bench.at(folder, "blobs/sha256", sha256(bytes)), bytes);
    return { mediaType, digest: `sha256:${sha256(bytes)}`, size: bytes.length };
  };
  const pack = {
    none: (bytes: Uint8Array) => bytes,
    gzip: (bytes: Uint8Array) => gzipSync(bytes),
    zstd: (bytes: Uint8Array) => zstdCompressSync(bytes),
  };
  const config = {
    ...{ architecture: "amd64", os: "linux", created: "2025-10-01T00:00:00Z" },
    config: { Labels: labels, Env: ["PATH=/usr/sbin:/usr/bin"], Cmd: ["/sbin/init"] },
    rootfs: { type: "layers", diff_ids: layers.map(({ archive }) => `sha256:${sha256(archive)}`) },
    history: layers.map((_, index) => ({ created_by: `layer ${index}` })),
  };
  const manifest = {
    ...{ schemaVersion: 2, mediaType: "application/vnd.oci.image.manifest.v1+json" },
    config: blob("application/vnd.oci.image.config.v1+json", Buffer.from(JSON.stringify(config))),
    layers: layers.map(({ archive, compression }) =>
      blob(
        `application/vnd.oci.image.layer.v1.tar${compression === "none" ? "" : `+${compression}`}`,
        pack[compression](archive),
      ),
    ),
  };
  const named = blob(manifest.mediaType, Buffer.from(JSON.stringify(manifest)));
  writeFileSync(bench.at(folder, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
  const index = { schemaVersion: 2, manifests: [{ ...named, annotations: { "org.opencontainers.image.ref.name": "fixture" } }] };
  writeFileSync(bench.at(folder, "index.json"), JSON.stringify(index));
  return named.digest;
}

/** An archive of a folder, by GNU tar, with owners and attributes. */
export function archiveOf(bench: Bench, folder: string): Buffer {
  bench.tools(`tar --format=posix --sort=name --numeric-owner --xattrs '--xattrs-include=*' -C ${folder} -cf ${folder}.tar .`);
  return readFileSync(bench.at(`${folder}.tar`));
}

/**
 * A base image as a distribution would publish one: packages installed by rpm in a first layer, a second layer that changes, removes and
 * adds. Returns the digest of its manifest; the layout lies in `folder`.
 */
export function makeBase(bench: Bench, folder: string, certificate: Uint8Array = Buffer.from("none")): string {
  bench.write("certificate.der", certificate);
  bench.write("own.ko", elfModule({ name: "own", license: "GPL", vermagic: VERMAGIC }));
  buildRpms(
    bench,
    "base-rpms",
    basePackages.map((spec) => ({ ...spec, install: `FIXTURE=${bench.path}\n${spec.install}` })),
  );
  bench.tools(`mkdir lower
    rpm --root "$PWD/lower" --dbpath /usr/share/rpm --initdb
    rpm --root "$PWD/lower" --dbpath /usr/share/rpm -i --nosignature base-rpms/*.rpm
    echo obsolete > lower/etc/obsolete; mkdir lower/etc/covered; mkdir -p lower/etc/pki/akmods/certs; cp certificate.der lower/etc/pki/akmods/certs/akmods-ublue.der; echo covered > lower/etc/covered/file
    ln lower/usr/bin/git lower/usr/share/git-again
    printf 'x' > lower/usr/bin/capable; chmod 4755 lower/usr/bin/capable; chown 12:34 lower/etc/covered
    python3 -c 'import os; os.setxattr("lower/usr/bin/capable", "user.note", b"kept"); os.setxattr("lower/usr/bin/capable", "security.capability", bytes.fromhex("0100000200200000000000000000000000000000"))'
    mkdir -p upper/etc/covered upper/usr/lib/modules; echo changed > upper/etc/changed
    : > upper/etc/.wh.obsolete; : > upper/etc/covered/.wh..wh..opq; echo new > upper/etc/covered/other`);
  const labels = {
    "ostree.commit": "ab".repeat(32),
    "ostree.bootable": "true",
    "org.opencontainers.image.title": "somebody else's",
  };
  return writeImage(
    bench,
    folder,
    [
      { archive: archiveOf(bench, "lower"), compression: "gzip" },
      { archive: archiveOf(bench, "upper"), compression: "zstd" },
    ],
    labels,
  );
}
