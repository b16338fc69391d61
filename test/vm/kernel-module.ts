import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { TestKey } from "./addon.ts";
import type { Bench } from "./bench.ts";

/** struct module_signature with the one type that is in use, PKCS#7, and the words after it (include/linux/module_signature.h). */
function trailer(signatureBytes: number): Buffer {
  const bytes = Buffer.alloc(12);
  bytes.writeUInt8(2, 2);
  bytes.writeUInt32BE(signatureBytes, 8);
  return Buffer.concat([bytes, Buffer.from("~Module signature appended~\n")]);
}

/**
 * Signs anything as a kernel module is signed. The kernel checks the signature before it looks at what is signed, so a file that is no
 * module shows by what it is refused for whether the signature was taken.
 * @throws VmError HARNESS_TOOL_FAILED
 */
export async function signAsModule({ tools, dir }: Bench, content: Uint8Array, key: TestKey): Promise<Buffer> {
  const at = (name: string) => join(dir, `module.${name}`);
  await writeFile(at("content"), content);
  await tools.run([
    ...["openssl", "cms", "-sign", "-binary", "-noattr", "-nocerts", "-nosmimecap", "-md", "sha256", "-outform", "DER"],
    ...["-signer", key.certificatePath, "-inkey", key.keyPath, "-in", at("content"), "-out", at("signature")],
  ]);
  const signature = await readFile(at("signature"));
  return Buffer.concat([content, signature, trailer(signature.length)]);
}
