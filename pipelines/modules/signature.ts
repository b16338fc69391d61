import { KernelModuleError } from "./errors.ts";

/** A module and the signature at its end. */
export interface SignedModule {
  /** What is signed: everything before the signature. */
  readonly content: Uint8Array;
  /** PKCS#7 SignedData in DER, detached and without certificates (RFC 5652). */
  readonly signature: Uint8Array;
}

/** MODULE_SIG_STRING of include/linux/module_signature.h: the last bytes of every signed module. */
const MAGIC = Buffer.from("~Module signature appended~\n");
/** sizeof(struct module_signature): algo, hash, id_type, signer_len, key_id_len, three bytes of padding, sig_len (big endian). */
const TRAILER_BYTES = 12;
/** PKEY_ID_PKCS7; the other kinds were never used by a kernel that reads this layout. */
const ID_TYPE_PKCS7 = 2;

/**
 * Takes a signed module apart as the kernel does (mod_check_sig in kernel/module_signature.c): every byte of the trailer but the type and
 * the length must be zero.
 * @throws KernelModuleError KERNEL_MODULE_UNSIGNED
 */
export function splitSignedModule(bytes: Uint8Array): SignedModule {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const trailerAt = file.length - MAGIC.length - TRAILER_BYTES;
  if (trailerAt < 0 || !file.subarray(-MAGIC.length).equals(MAGIC)) throw unsigned("no signature at its end");
  const trailer = file.subarray(trailerAt, trailerAt + TRAILER_BYTES);
  const zeros = [0, 1, 3, 4, 5, 6, 7].every((at) => trailer[at] === 0);
  if (!zeros || trailer[2] !== ID_TYPE_PKCS7) throw unsigned(`a trailer of ${trailer.subarray(0, 8).toString("hex")}`);
  const length = trailer.readUInt32BE(8);
  if (length === 0 || length >= trailerAt) throw unsigned(`a signature of ${length} bytes in a file of ${file.length}`);
  return { content: file.subarray(0, trailerAt - length), signature: file.subarray(trailerAt - length, trailerAt) };
}

const unsigned = (actual: string) =>
  new KernelModuleError("KERNEL_MODULE_UNSIGNED", { expected: "a module with an appended PKCS#7 signature", actual });
