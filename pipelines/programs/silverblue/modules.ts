// Takes third-party kernel modules out of a module image that is named by digest, and keeps only what belongs to the root's kernel and
// bears the expected signature. No script of their packages runs; their configuration is left behind and listed.
// silverblue/modules --root DIR --image DIR --modules FILE --signer FILE --out DIR --report FILE
import { spawnSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { createReadStream, lstatSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { buffer } from "node:stream/consumers";
import { canonicalJson } from "@secai/formats/canonical-json";
import { sha256, sha256File } from "@secai/formats/digest";
import { KernelModuleError } from "../../modules/errors.ts";
import { kernelVermagic } from "../../modules/image-kernel.ts";
import { requireSameKernel } from "../../modules/modinfo.ts";
import { splitSignedModule } from "../../modules/signature.ts";
import { SilverblueError } from "../../silverblue/errors.ts";
import { kernelOf } from "../../silverblue/kernel.ts";
import { classify, type ModuleList, parseModuleList } from "../../silverblue/kernel-modules.ts";
import { pathParts } from "../../silverblue/layer-tree.ts";
import { readTar } from "../../silverblue/tar-read.ts";
import { readFlags, tool, toolOutput } from "../tool.ts";

const flag = readFlags(process.argv.slice(2));
const [root, out] = [flag("root"), flag("out")];
const kernel = kernelOf(root);
const vermagic = kernelVermagic(root, kernel);
const signer = new X509Certificate(readFileSync(flag("signer")));
const signerFile = "/tmp/signer.pem";
writeFileSync(signerFile, signer.toString());

/** The module as the kernel sees it. */
function unpacked(path: string): Buffer {
  if (path.endsWith(".ko")) return readFileSync(path);
  const [command, ...args] = path.endsWith(".xz") ? ["xz", "-dc"] : path.endsWith(".zst") ? ["zstd", "-dcq"] : ["gzip", "-dc"];
  const { status, stdout } = spawnSync(command ?? "", [...args, path], { maxBuffer: 512 << 20 });
  if (status !== 0)
    throw new KernelModuleError("KERNEL_MODULE_UNSIGNED", { expected: `${command} in ${path}`, actual: "something else" });
  return stdout;
}

/** @throws KernelModuleError KERNEL_MODULE_UNSIGNED, KERNEL_MODULE_UNTRUSTED */
function verifySignature(path: string): void {
  const { content, signature } = splitSignedModule(unpacked(path));
  writeFileSync("/tmp/content", content);
  writeFileSync("/tmp/signature", signature);
  const input = ["-binary", "-inform", "DER", "-in", "/tmp/signature", "-content", "/tmp/content", "-out", "/dev/null"];
  try {
    // The certificate is not judged, only its key: the recipe names this very one.
    tool("openssl", ["cms", "-verify", ...input, "-certfile", signerFile, "-nointern", "-noverify"]);
  } catch (cause) {
    const expected = `${path.slice(out.length)} signed by ${signer.subject.replaceAll("\n", ", ")}`;
    throw new KernelModuleError("KERNEL_MODULE_UNTRUSTED", { expected, actual: "another key or other bytes", cause });
  }
}

function checkModule(path: string): { path: string; sha256: string; size: number } {
  const full = join(out, path);
  // In this order: nothing takes a module apart before its signature is good.
  verifySignature(full);
  requireSameKernel({ name: path, vermagic: toolOutput("modinfo", ["-F", "vermagic", full]).trim() }, vermagic);
  const bytes = readFileSync(full);
  return { path: `/${path}`, sha256: sha256(bytes), size: bytes.length };
}

/** The package's files, as an archive that our own strict reader takes apart. */
async function takeModules({ file, sha256: stated }: ModuleList["packages"][number]) {
  const path = join(flag("image"), ...pathParts(file));
  if (lstatSync(path, { throwIfNoEntry: false })?.isFile() !== true || (await sha256File(path)) !== stated)
    throw new SilverblueError("RPM_STORE_DIFFERS", {
      expected: `${file} with sha256 ${stated}`,
      actual: "no such file or other bytes",
    });
  const nevra = toolOutput("rpm", [
    "--dbpath",
    "/tmp/none",
    "--nosignature",
    "-qp",
    "--qf",
    "%{EPOCHNUM}:%{NEVRA}",
    path,
  ]).replace(/^(\d+):(\d+:)?/, "$1:");
  tool("sh", ["-c", 'rpm2archive --nocompression --format=pax - < "$1" > /tmp/package.tar', "sh", path]);
  const modules: string[] = [];
  const left: string[] = [];
  await readTar(createReadStream("/tmp/package.tar"), async (entry, content) => {
    if (entry.type === "directory") return;
    const found = classify(pathParts(entry.path), kernel);
    if (found.kind === "left" || entry.type !== "file") {
      left.push(`/${found.path}`);
      return;
    }
    mkdirSync(dirname(join(out, found.path)), { recursive: true, mode: 0o755 });
    writeFileSync(join(out, found.path), await buffer(content), { flag: "wx", mode: 0o644 });
    modules.push(found.path);
  });
  return { file, sha256: stated, nevra, modules: modules.sort().map(checkModule), left: left.sort() };
}

const packages = [];
for (const one of parseModuleList(readFileSync(flag("modules"))).packages) packages.push(await takeModules(one));
const empty = packages.find(({ modules }) => modules.length === 0);
if (empty !== undefined)
  throw new KernelModuleError("KERNEL_MODULE_MISSING", { expected: `modules in ${empty.file}`, actual: "none" });
const record = {
  schema: 1,
  kernel: { release: kernel, vermagic },
  signer: { subject: signer.subject.replaceAll("\n", ", "), certificate: sha256(signer.raw) },
  packages,
};
const text = `${canonicalJson(record)}\n`;
/** A file for each set of packages: several overlays of modules can lie over one root. */
const records = join(out, "usr/lib/secure-ai/kernel-modules.d");
mkdirSync(records, { recursive: true, mode: 0o755 });
writeFileSync(join(records, `${basename(packages[0]?.file ?? "", ".rpm")}.json`), text, { mode: 0o644 });
writeFileSync(flag("report"), text);
for (const { nevra, modules, left } of packages)
  console.error(`${nevra}: ${modules.length} modules, left behind: ${left.join(" ") || "nothing"}`);
