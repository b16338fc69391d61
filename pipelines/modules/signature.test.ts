import { strict as assert } from "node:assert";
import fc from "fast-check";
import { test } from "vitest";
import { KernelModuleError } from "./errors.ts";
import { splitSignedModule } from "./signature.ts";

const magic = Buffer.from("~Module signature appended~\n");
function trailer(length: number, idType = 2): Buffer {
  const bytes = Buffer.alloc(12);
  bytes.writeUInt8(idType, 2);
  bytes.writeUInt32BE(length, 8);
  return bytes;
}
const content = Buffer.from("\x7fELF and more");
const signature = Buffer.from("signature");
const signed = Buffer.concat([content, signature, trailer(signature.length), magic]);
const spoiled = (at: number, value: number) => {
  const bytes = Buffer.from(signed);
  bytes.writeUInt8(value, bytes.length - magic.length - 12 + at);
  return bytes;
};

const refused: readonly { name: string; bytes: Uint8Array }[] = [
  { name: "nothing", bytes: new Uint8Array() },
  { name: "an unsigned module", bytes: content },
  { name: "the magic alone", bytes: magic },
  { name: "a trailer without room for a signature", bytes: Buffer.concat([trailer(1), magic]) },
  { name: "a magic that lacks its line break", bytes: signed.subarray(0, -1) },
  { name: "a byte after the magic", bytes: Buffer.concat([signed, Buffer.from([0])]) },
  { name: "a PGP signature", bytes: spoiled(2, 0) },
  { name: "an X.509 signature of old", bytes: spoiled(2, 1) },
  { name: "an algorithm in the trailer", bytes: spoiled(0, 1) },
  { name: "a hash in the trailer", bytes: spoiled(1, 4) },
  { name: "a signer's name", bytes: spoiled(3, 1) },
  { name: "a key id", bytes: spoiled(4, 1) },
  { name: "padding that is not zero", bytes: spoiled(7, 1) },
  { name: "an empty signature", bytes: Buffer.concat([content, trailer(0), magic]) },
  { name: "a signature as long as the file", bytes: Buffer.concat([content, trailer(content.length), magic]) },
  { name: "a signature longer than the file", bytes: Buffer.concat([content, trailer(0xffff_ffff), magic]) },
];
for (const { name, bytes } of refused) {
  test(`${name} is not a signed module`, () => assert.throws(() => splitSignedModule(bytes), { code: "KERNEL_MODULE_UNSIGNED" }));
}

test("a signed module comes apart into what was signed and the signature", () => {
  assert.deepEqual(splitSignedModule(signed), { content, signature });
});

test("a module signed twice has the first signature in its content", () => {
  const twice = Buffer.concat([signed, signature, trailer(signature.length), magic]);
  assert.deepEqual(splitSignedModule(twice).content, signed);
});

test("any two parts that are joined come apart again; any bytes give a module or a KernelModuleError", () => {
  const part = fc.uint8Array({ minLength: 1, maxLength: 64 });
  fc.assert(
    fc.property(part, part, (one, other) => {
      const { content, signature } = splitSignedModule(Buffer.concat([one, other, trailer(other.length), magic]));
      assert.deepEqual([Buffer.from(content), Buffer.from(signature)], [Buffer.from(one), Buffer.from(other)]);
    }),
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), fc.boolean(), (bytes, ended) => {
      try {
        splitSignedModule(ended ? Buffer.concat([bytes, magic]) : bytes);
      } catch (error) {
        assert.ok(error instanceof KernelModuleError, String(error));
      }
    }),
  );
});
