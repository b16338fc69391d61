// Seals a tree: a compressed erofs image and its dm-verity hash tree. Same tree, same bytes.
// seal --tree DIR --version V --out DIR --root-hash FILE   writes root.erofs and root.verity
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readFlags, sourceDateEpoch, tool } from "./tool.ts";

const flag = readFlags(process.argv.slice(2));
const out = flag("out");
const version = flag("version");

/** A stable UUID (RFC 9562 version 8) and salt: they only need to differ between versions, not to be secret. */
const derived = (purpose: string) => createHash("sha256").update(`secai ${purpose} ${version}`).digest("hex");
function derivedUuid(purpose: string): string {
  const hex = derived(purpose);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

mkdirSync(out);
const erofs = join(out, "root.erofs");
// lz4 with 64 KiB clusters: reading costs nearly nothing at boot. lz4hc,9 makes the root 13 % smaller and takes ten times as long (8.1 s
// to 0.8 s), which every edit of a service would wait for; docs/decisions/0003.
tool("mkfs.erofs", [
  "--quiet",
  "-zlz4",
  "-C65536",
  `-T${sourceDateEpoch()}`,
  "--all-time",
  `-U${derivedUuid("erofs")}`,
  "-Lroot",
  erofs,
  flag("tree"),
]);
tool("veritysetup", [
  "format",
  "--hash=sha256",
  `--salt=${derived("verity salt")}`,
  `--uuid=${derivedUuid("verity")}`,
  "--root-hash-file=/tmp/root-hash",
  erofs,
  join(out, "root.verity"),
]);
const rootHash = readFileSync("/tmp/root-hash", "utf8").trim();
if (!/^[0-9a-f]{64}$/.test(rootHash)) throw new Error(`veritysetup wrote no root hash but ${rootHash.length} characters`);
writeFileSync(flag("root-hash"), `${rootHash}\n`);
