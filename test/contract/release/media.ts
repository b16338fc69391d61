import { canonicalJson } from "@secai/formats/canonical-json";
import { sha256 } from "@secai/formats/digest";

// Media as small as their formats allow. What real tools make of them is tested where the real ones are made.

/** A tar file with an OVF descriptor first (POSIX ustar). */
export function ovaOf(imageDigest: string, descriptor = ovfOf(imageDigest), name = "disk.ovf"): Buffer {
  const content = Buffer.from(descriptor);
  const header = Buffer.alloc(512);
  header.write(name, 0, "latin1");
  header.write("0000644\0", 100, "latin1");
  header.write(`${content.length.toString(8).padStart(11, "0")}\0`, 124, "latin1");
  header.write("        ", 148, "latin1");
  header.write("ustar\x0000", 257, "latin1");
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  const padding = Buffer.alloc((512 - (content.length % 512)) % 512);
  return Buffer.concat([header, content, padding, Buffer.alloc(1024)]);
}

export const ovfOf = (imageDigest: string) => `<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/2" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/2">
  <VirtualSystem ovf:id="secai-os"><ProductSection>
    <Property ovf:key="secai.image-digest" ovf:type="string" ovf:value="${imageDigest}"/>
  </ProductSection></VirtualSystem>
</Envelope>
`;

const SECTOR = 2048;

/** An ISO 9660 volume with one file in its root directory (ECMA-119). */
export function isoOf(content: string, name = "IMAGE_DIGEST.;1"): Buffer {
  const volume = Buffer.alloc(20 * SECTOR);
  const [rootSector, fileSector] = [18, 19];
  volume.writeUInt8(1, 16 * SECTOR);
  volume.write("CD001", 16 * SECTOR + 1, "latin1");
  record(rootSector, SECTOR, "\0").copy(volume, 16 * SECTOR + 156);
  volume.writeUInt8(255, 17 * SECTOR);
  const directory = [
    record(rootSector, SECTOR, "\0"),
    record(rootSector, SECTOR, "\x01"),
    record(fileSector, content.length, name),
  ];
  Buffer.concat(directory).copy(volume, rootSector * SECTOR);
  volume.write(content, fileSector * SECTOR, "latin1");
  return volume;
}

function record(sector: number, bytes: number, name: string): Buffer {
  const length = 33 + name.length + ((33 + name.length) % 2);
  const entry = Buffer.alloc(length);
  entry.writeUInt8(length, 0);
  entry.writeUInt32LE(sector, 2);
  entry.writeUInt32LE(bytes, 10);
  entry.writeUInt8(name.length, 32);
  entry.write(name, 33, "latin1");
  return entry;
}

type Files = Readonly<Record<string, { readonly content: string | Uint8Array }>>;

/** An OCI image layout of one image with one layer. */
export function ociOf(
  imageDigest: string,
  annotations: Readonly<Record<string, string>> = { "secai.image-digest": imageDigest },
): Files {
  const blobs: Record<string, { readonly content: string }> = {};
  const blob = (mediaType: string, content: string) => {
    const digest = sha256(content);
    blobs[`oci/blobs/sha256/${digest}`] = { content };
    return { mediaType, digest: `sha256:${digest}`, size: content.length };
  };
  const config = blob("application/vnd.oci.image.config.v1+json", canonicalJson({ architecture: "amd64", os: "linux" }));
  const layer = blob("application/vnd.oci.image.layer.v1.tar", "a layer");
  const mediaType = "application/vnd.oci.image.manifest.v1+json";
  const manifest = blob(mediaType, canonicalJson({ schemaVersion: 2, mediaType, config, layers: [layer], annotations }));
  return {
    "oci/oci-layout": { content: '{"imageLayoutVersion":"1.0.0"}' },
    "oci/index.json": { content: canonicalJson({ schemaVersion: 2, manifests: [manifest] }) },
    ...blobs,
  };
}
