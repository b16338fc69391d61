import { spawn } from "node:child_process";
import { constants } from "node:fs";
import { type FileHandle, open, realpath, stat } from "node:fs/promises";
import { type Disk, findDisk, type KernelFiles } from "./devices.ts";
import { FlashError } from "./errors.ts";
import { deviceNumber } from "./image.ts";

/** A disk opened for writing, for nobody but us. */
export interface Target {
  write(chunk: Buffer, position: number): Promise<void>;
  /** Returns when the medium holds all that was written. */
  flush(): Promise<void>;
  /** What the medium itself gives back, from its start, not what the system remembers of it. */
  readBack(size: number): AsyncIterable<Buffer>;
  close(): Promise<void>;
}

/**
 * The whole disk that a path means, links such as /dev/disk/by-id/... followed.
 * @throws FlashError FLASH_DEVICE_MISSING, FLASH_NOT_A_DISK
 */
export async function resolveDisk(path: string, files: KernelFiles): Promise<Disk> {
  const device = await realpath(path).catch(() => undefined);
  const found = device === undefined ? undefined : await stat(device).catch(() => undefined);
  if (device === undefined || found === undefined)
    throw new FlashError("FLASH_DEVICE_MISSING", { expected: "a device", actual: path });
  if (!found.isBlockDevice()) throw new FlashError("FLASH_NOT_A_DISK", { expected: "a block device", actual: path });
  const disk = findDisk(deviceNumber(found.rdev), files);
  if (disk === undefined) throw new FlashError("FLASH_DEVICE_MISSING", { expected: "a device with a medium", actual: device });
  if (disk === "not-a-disk") throw new FlashError("FLASH_NOT_A_DISK", { expected: "a whole disk", actual: device });
  return disk;
}

/**
 * Opens a disk exclusively (O_EXCL): the kernel itself refuses when a partition of it is mounted, in whatever namespace, or held.
 * @throws FlashError FLASH_DEVICE_HELD, FLASH_NOT_PERMITTED, FLASH_DEVICE_MISSING
 */
export async function openTarget({ name, number }: Disk): Promise<Target> {
  const path = `/dev/${name}`;
  const file = await open(path, constants.O_RDWR | constants.O_EXCL | constants.O_NOFOLLOW).catch(
    (cause: NodeJS.ErrnoException) => {
      throw new FlashError(OPEN_ERRORS[cause.code ?? ""] ?? "FLASH_DEVICE_MISSING", {
        expected: path,
        actual: cause.message,
        cause,
      });
    },
  );
  const { rdev } = await file.stat();
  if (deviceNumber(rdev) !== number) {
    await file.close();
    throw new FlashError("FLASH_DEVICE_MISSING", { expected: `${path} to stay the device it was`, actual: deviceNumber(rdev) });
  }
  return {
    write: (chunk, position) => writeAll(file, chunk, position),
    flush: () => file.sync(),
    readBack: (size) => readDirect(path, size),
    close: () => file.close(),
  };
}

const OPEN_ERRORS: Readonly<Record<string, "FLASH_DEVICE_HELD" | "FLASH_NOT_PERMITTED" | "FLASH_DEVICE_READ_ONLY">> = {
  EBUSY: "FLASH_DEVICE_HELD",
  EACCES: "FLASH_NOT_PERMITTED",
  EPERM: "FLASH_NOT_PERMITTED",
  EROFS: "FLASH_DEVICE_READ_ONLY",
};

async function writeAll(file: FileHandle, chunk: Buffer, position: number): Promise<void> {
  for (let done = 0; done < chunk.length; ) {
    const { bytesWritten } = await file.write(chunk, done, chunk.length - done, position + done);
    done += bytesWritten;
  }
}

const DIRECT_BLOCK = 4 << 20;

/** dd(1) with O_DIRECT, which needs aligned memory that Node cannot promise: a plain read would come from the page cache. */
async function* readDirect(path: string, size: number): AsyncIterable<Buffer> {
  const count = Math.ceil(size / DIRECT_BLOCK);
  const dd = spawn("dd", [`if=${path}`, `bs=${DIRECT_BLOCK}`, `count=${count}`, "iflag=direct", "status=none"], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  dd.stderr.setEncoding("utf8").on("data", (text: string) => {
    said = `${said}${text}`.slice(0, 1000);
  });
  const ended = new Promise<number>((resolve, reject) => dd.on("error", reject).on("close", (status) => resolve(status ?? 1)));
  ended.catch(() => undefined);
  try {
    let left = size;
    for await (const chunk of dd.stdout as AsyncIterable<Buffer>) {
      yield chunk.subarray(0, left);
      left = Math.max(0, left - chunk.length);
    }
    const status = await ended;
    if (status !== 0) throw new Error(`dd: ${said.trim() || `exit status ${status}`}`);
  } finally {
    dd.kill();
  }
}
