import { type Catalogue, CodedError, type ErrorDetail } from "@secai/formats/errors";

export const flashErrors = {
  FLASH_USAGE: { exit: 2, meaning: "Flashing was asked for in a way it does not know.", fix: "See `secai flash --help`." },
  FLASH_RELEASE_MISSING: {
    exit: 3,
    meaning: "An image lies in no release directory, so nobody vouches for it.",
    fix: "Flash the image from its release directory, or name that directory with --release DIR.",
  },
  FLASH_IMAGE_UNLISTED: {
    exit: 1,
    meaning: "A file is no medium that the release lists.",
    fix: "Flash disk.raw.zst or installer.iso of the release, unchanged.",
  },
  FLASH_IMAGE_CHANGED: {
    exit: 1,
    meaning: "An image is not, byte for byte, the one that its release lists.",
    fix: "Fetch the release again; if it verifies, something changes the file while it is read.",
  },
  FLASH_IMAGE_UNREADABLE: {
    exit: 3,
    meaning: "An image could not be read or unpacked to its end.",
    fix: "Fetch the image again; see the system's log for errors of the disk it lies on.",
  },
  FLASH_DEVICE_MISSING: {
    exit: 2,
    meaning: "There is no such device.",
    fix: "Run `secai flash --list` and use a name from it.",
  },
  FLASH_NOT_A_DISK: {
    exit: 2,
    meaning: "The target is not a whole disk.",
    fix: "Name the disk, not a partition, a mapping or a file; see `secai flash --list`.",
  },
  FLASH_SYSTEM_DISK: {
    exit: 1,
    meaning: "The target is a disk that this system runs from.",
    fix: "Choose another device with `secai flash --list`.",
  },
  FLASH_IMAGE_ON_DEVICE: {
    exit: 1,
    meaning: "The image lies on the very disk that it would overwrite.",
    fix: "Copy the release elsewhere first.",
  },
  FLASH_DEVICE_MOUNTED: {
    exit: 1,
    meaning: "A file system on the target is mounted.",
    fix: "Unmount it (umount) if you are sure that it may be erased.",
  },
  FLASH_DEVICE_HELD: {
    exit: 1,
    meaning: "The target is in use: by swap, a volume manager, encryption, RAID or another program.",
    fix: "Take it out of use first (swapoff, vgchange -an, cryptsetup close, mdadm --stop).",
  },
  FLASH_DEVICE_READ_ONLY: { exit: 1, meaning: "The target cannot be written to.", fix: "Look for a lock switch on the medium." },
  FLASH_DEVICE_TOO_SMALL: {
    exit: 1,
    meaning: "The image is larger than the target.",
    fix: "Choose a larger device with `secai flash --list`.",
  },
  FLASH_NOT_PERMITTED: {
    exit: 2,
    meaning: "This user may not write to the target.",
    fix: "Run the command as an administrator, e.g. with sudo.",
  },
  FLASH_NOT_CONFIRMED: {
    exit: 2,
    meaning: "The name of the device was not confirmed, so nothing was written.",
    fix: "Type the name as shown, or pass --yes with it.",
  },
  FLASH_INTERRUPTED: {
    exit: 3,
    meaning: "Writing was interrupted: the device holds a part of the image, has no partition table and does not boot.",
    fix: "Run the command again; it starts from the beginning.",
  },
  FLASH_WRITE_FAILED: {
    exit: 3,
    meaning: "The device refused a write: it holds a part of the image, has no partition table and does not boot.",
    fix: "See the system's log (dmesg); use another device.",
  },
  FLASH_READBACK_DIFFERS: {
    exit: 1,
    meaning: "The device does not give back what was written to it.",
    fix: "Do not boot it; use another device or another port.",
  },
  FLASH_READBACK_FAILED: {
    exit: 3,
    meaning: "What was written could not be read back, so nobody knows what the device holds.",
    fix: "See the system's log (dmesg); use another device.",
  },
} as const satisfies Catalogue;

/** An image was not written, or not provably so. */
export class FlashError extends CodedError<keyof typeof flashErrors> {
  constructor(code: keyof typeof flashErrors, detail?: ErrorDetail) {
    super(code, flashErrors[code], detail);
  }
}
