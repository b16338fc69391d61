import type { Disk } from "./devices.ts";
import { FlashError } from "./errors.ts";

/** What must stay mounted for the running system to go on. */
const SYSTEM_MOUNTS: ReadonlySet<string> = new Set([
  "/",
  "/usr",
  "/boot",
  "/boot/efi",
  "/efi",
  "/var",
  "/home",
  "/etc",
  "/nix",
  "/sysroot",
]);

export interface Intent {
  /** Bytes of the image once unpacked. */
  readonly imageSize: number;
  /** "major:minor" of the file system that the image lies on. */
  readonly imageOn: string;
}

/**
 * Why `disk` must not be overwritten: the most telling reason first. Returns when there is none.
 * @throws FlashError FLASH_SYSTEM_DISK, FLASH_IMAGE_ON_DEVICE, FLASH_DEVICE_MOUNTED, FLASH_DEVICE_HELD, FLASH_DEVICE_READ_ONLY,
 * FLASH_DEVICE_TOO_SMALL
 */
export function requireFree(disk: Disk, { imageSize, imageOn }: Intent): void {
  const actual = `/dev/${disk.name}`;
  const system = disk.mounts.filter((point) => SYSTEM_MOUNTS.has(point));
  if (system.length > 0)
    throw new FlashError("FLASH_SYSTEM_DISK", { expected: "another disk", actual: `${actual} with ${system.join(", ")}` });
  if (disk.numbers.includes(imageOn))
    throw new FlashError("FLASH_IMAGE_ON_DEVICE", { expected: "an image on another disk", actual });
  if (disk.mounts.length > 0)
    throw new FlashError("FLASH_DEVICE_MOUNTED", {
      expected: "nothing mounted",
      actual: `${actual} at ${disk.mounts.join(", ")}`,
    });
  if (disk.swap) throw new FlashError("FLASH_DEVICE_HELD", { expected: "no active swap", actual });
  if (disk.holders.length > 0)
    throw new FlashError("FLASH_DEVICE_HELD", {
      expected: "nothing built upon it",
      actual: `${actual}: ${disk.holders.join(", ")}`,
    });
  if (disk.readOnly) throw new FlashError("FLASH_DEVICE_READ_ONLY", { expected: "a writable device", actual });
  if (disk.size < imageSize)
    throw new FlashError("FLASH_DEVICE_TOO_SMALL", {
      expected: `${imageSize} bytes`,
      actual: `${actual} with ${disk.size} bytes`,
    });
}
