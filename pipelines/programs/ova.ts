// Packs the disk for VMware, VirtualBox and others: OVF descriptor, manifest of digests, stream-optimised VMDK, in one ustar archive.
// ova --disk FILE --qcow2 FILE --root-hash FILE --name N --title T --version V --cpus N --memory-mib N --out FILE
import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { sha256File } from "@secai/formats/digest";
import { ovfDescriptor } from "../media/ovf.ts";
import { setContentId } from "../media/vmdk.ts";
import { readFlags, sourceDateEpoch, tool } from "./tool.ts";

const flag = readFlags(process.argv.slice(2));
const work = "/tmp/ova";
const name = flag("name");
const [ovf, manifest, vmdk] = [`${name}.ovf`, `${name}.mf`, `${name}.vmdk`];

mkdirSync(work);
// QEMU writes the name it is given into the descriptor, so it is given the one under which the file ships.
tool(
  "qemu-img",
  ["convert", "-f", "qcow2", "-O", "vmdk", "-o", "subformat=streamOptimized,adapter_type=lsilogic", flag("qcow2"), vmdk],
  {
    cwd: work,
  },
);
const imageDigest = await sha256File(flag("disk"));
// Never ffffffff or fffffffe, which mean "no parent" (Virtual Disk Format 5.0).
const contentId = `0${imageDigest.slice(0, 7)}`;
const capacityBytes = await setContentId(join(work, vmdk), contentId);
const descriptor = ovfDescriptor({
  name,
  title: flag("title"),
  version: flag("version"),
  imageDigest: `sha256:${imageDigest}`,
  rootHash: readFileSync(flag("root-hash"), "utf8").trim(),
  disk: { file: vmdk, bytes: statSync(join(work, vmdk)).size, capacityBytes },
  cpus: Number(flag("cpus")),
  memoryMiB: Number(flag("memory-mib")),
});
writeFileSync(join(work, ovf), descriptor);
const line = async (file: string) => `SHA256(${file})= ${await sha256File(join(work, file))}\n`;
writeFileSync(join(work, manifest), `${await line(ovf)}${await line(vmdk)}`);
// The descriptor first, then the manifest, then the files in the order in which the descriptor refers to them (DSP0243, clause 5.3).
tool("tar", [
  ...["--format=ustar", "--owner=0", "--group=0", "--numeric-owner", "--mode=0644", `--mtime=@${sourceDateEpoch()}`],
  ...["-C", work, "-cf", flag("out"), ovf, manifest, vmdk],
]);
