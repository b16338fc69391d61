/** What makes a file the same one: an unchanged identity means that the bytes that were hashed are the bytes that are there. */
export interface FileIdentity {
  readonly dev: bigint;
  readonly ino: bigint;
  readonly size: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
}

export type HashResult =
  | { readonly sha256: string; readonly identity: FileIdentity }
  /** The error code of the system, or CHANGED when the file was written to meanwhile, or NOT_A_FILE. */
  | { readonly error: string };

/**
 * SHA-256 of a plain file in one pass with one buffer; follows no symbolic link. Uses nothing from outside its own body, because its
 * source text is also what the worker threads of hash-pool.ts run: a single-file verifier has no second file to give them.
 */
export function hashFile(path: string): HashResult {
  const fs = process.getBuiltinModule("node:fs");
  const { createHash } = process.getBuiltinModule("node:crypto");
  let fd: number | undefined;
  try {
    fd = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK);
    const before = fs.fstatSync(fd, { bigint: true });
    if (!before.isFile()) return { error: "NOT_A_FILE" };
    const hash = createHash("sha256");
    // 1 MiB reads were the fastest measured; below, the number of system calls shows, above, the processor's cache.
    const buffer = Buffer.allocUnsafe(Number(before.size < 1048576n ? before.size + 1n : 1048576n));
    for (let read = fs.readSync(fd, buffer); read > 0; read = fs.readSync(fd, buffer)) hash.update(buffer.subarray(0, read));
    const { dev, ino, size, mtimeNs, ctimeNs } = fs.fstatSync(fd, { bigint: true });
    if (size !== before.size || mtimeNs !== before.mtimeNs || ctimeNs !== before.ctimeNs) return { error: "CHANGED" };
    return { sha256: hash.digest("hex"), identity: { dev, ino, size, mtimeNs, ctimeNs } };
  } catch (error) {
    return { error: (error as NodeJS.ErrnoException).code ?? "UNREADABLE" };
  } finally {
    if (fd !== undefined) fs.closeSync(fd);
  }
}
