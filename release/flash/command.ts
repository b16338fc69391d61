import { parseArguments } from "../arguments.ts";
import { readManifest, requireVerified, TRUST_HELP, trustOptions } from "../gate/gate.ts";
import { askAtTerminal, progressLine, type ReleaseIo, sizeText } from "../gate/io.ts";
import { type Disk, type KernelFiles, kernelFiles, listDisks } from "./devices.ts";
import { FlashError } from "./errors.ts";
import { chooseImage, listedImage, type Measured, type OpenImage, openImage, readImage } from "./image.ts";
import { requireFree } from "./refuse.ts";
import { openTarget, resolveDisk, type Target } from "./target.ts";
import { writeImage } from "./write.ts";

export const FLASH_HELP = `secai flash IMAGE DEVICE: write a verified image to a whole disk, and read it back.
secai flash --list: the disks of this machine.

IMAGE is disk.raw.zst or installer.iso of a release, or the release directory itself (its disk image).
Without --apply everything is checked and nothing is written.
  --apply               erase DEVICE and write; asks for the device's name first
  --yes DEVICE          the name that would be asked for, e.g. /dev/sdb
  --release DIR         the release of an image that lies elsewhere (under its own name)
  --list                disks, with what speaks against each
  --json                the result on standard output
  --help
${TRUST_HELP}

Examples:
  secai flash --list
  secai flash out/debian-13/0.1.0 /dev/sdb
  secai flash ./secai-1.2.0/installer.iso /dev/disk/by-id/usb-Stick --key release.pub --apply
`;

const options = {
  ...trustOptions,
  apply: { type: "boolean" },
  yes: { type: "string" },
  release: { type: "string" },
  list: { type: "boolean" },
  json: { type: "boolean" },
  help: { type: "boolean", short: "h" },
} as const;
type Values = ReturnType<typeof parse>["values"];

/** What a test puts in the place of the machine. */
export interface FlashMachine {
  readonly files: KernelFiles;
  readonly open: (disk: Disk) => Promise<Target>;
}

/** The `flash` command. @throws FlashError, GateError */
export async function runFlash(
  args: readonly string[],
  io: ReleaseIo,
  machine: FlashMachine = { files: kernelFiles, open: openTarget },
): Promise<number> {
  const { values, positionals } = parse(args);
  if (values.help === true) return say(io, FLASH_HELP);
  if (values.list === true) return printDisks(listDisks(machine.files), values, io);
  const [image, device, ...more] = positionals;
  if (image === undefined || device === undefined || more.length > 0)
    throw new FlashError("FLASH_USAGE", { expected: "an image and a device", actual: `${positionals.length} names` });
  return await flash({ image, device, values, io, machine });
}

function parse(args: readonly string[]) {
  return parseArguments(args, options, (detail) => new FlashError("FLASH_USAGE", detail));
}

interface Request {
  readonly image: string;
  readonly device: string;
  readonly values: Values;
  readonly io: ReleaseIo;
  readonly machine: FlashMachine;
}

async function flash(request: Request): Promise<number> {
  const { values, io, machine } = request;
  const choice = await chooseImage(request.image, values.release);
  io.stderr(`verifying ${choice.releaseDir}\n`);
  const report = await requireVerified(choice.releaseDir, values, io.env);
  const listed = listedImage(choice, await readManifest(choice.releaseDir));
  const disk = await resolveDisk(request.device, machine.files);
  const image = await openImage(choice, listed);
  try {
    // Refused before the long first pass where that is possible already, and again when the size is known.
    requireFree(disk, { imageSize: listed.packed ? 0 : listed.size, imageOn: image.on });
    io.stderr(`reading ${listed.name}\n`);
    const measured = await measure(image, io);
    requireFree(disk, { imageSize: measured.size, imageOn: image.on });
    const plan = { image: choice.path, listed, measured, disk, claims: report.claims };
    if (values.apply !== true) return finish(plan, false, values, io);
    await confirm(disk, values, io);
    await apply(request, image, measured);
    return finish(plan, true, values, io);
  } finally {
    await image.file.close();
  }
}

async function measure(image: OpenImage, { signal }: ReleaseIo): Promise<Measured> {
  try {
    return await readImage(image, () => signal?.throwIfAborted(), signal);
  } catch (cause) {
    if (signal?.aborted !== true) throw cause;
    throw new FlashError("FLASH_IMAGE_UNREADABLE", {
      expected: "the whole image",
      actual: "interrupted; nothing was written",
      cause,
    });
  }
}

async function confirm(disk: Disk, values: Values, io: ReleaseIo): Promise<void> {
  const name = `/dev/${disk.name}`;
  const question = `${describe(disk)}\nEverything on it will be lost. Type ${name} to go on: `;
  const answer = values.yes ?? (await (io.ask ?? askAtTerminal)(question));
  if (answer?.trim() !== name)
    throw new FlashError("FLASH_NOT_CONFIRMED", {
      expected: name,
      actual: answer === undefined ? "no terminal to ask at" : answer.trim(),
    });
}

async function apply({ device, io, machine }: Request, image: OpenImage, expected: Measured): Promise<void> {
  // Looked at anew: minutes may have passed at the question.
  const disk = await resolveDisk(device, machine.files);
  requireFree(disk, { imageSize: expected.size, imageOn: image.on });
  const target = await machine.open(disk);
  try {
    await writeImage({
      read: (take, signal) => readImage(image, take, signal),
      target,
      expected,
      ...(io.signal !== undefined && { signal: io.signal }),
      onWritten: progressLine("written", expected.size, io.stderr),
      onReadBack: progressLine("read back", expected.size, io.stderr),
    });
  } finally {
    await target.close();
  }
}

interface Plan {
  readonly image: string;
  readonly listed: { readonly name: string; readonly sha256: string };
  readonly measured: Measured;
  readonly disk: Disk;
  readonly claims: Readonly<Record<string, string>>;
}

function finish({ image, listed, measured, disk, claims }: Plan, written: boolean, { json }: Values, io: ReleaseIo): number {
  const result = {
    schema: 1,
    written,
    image,
    imageSha256: listed.sha256,
    recipe: claims.recipe,
    version: claims.version,
    device: `/dev/${disk.name}`,
    bytes: measured.size,
    sha256: measured.sha256,
  };
  const human = written
    ? `${result.device} holds ${listed.name} of ${claims.recipe} ${claims.version}: ${measured.size} bytes, read back as ${measured.sha256}\n`
    : `would erase ${describe(disk)}\nand write ${sizeText(measured.size)} of ${claims.recipe} ${claims.version}. Nothing was written; add --apply to do it.\n`;
  if (json === true) io.stdout(`${JSON.stringify(result, undefined, 2)}\n`);
  (json === true ? io.stderr : io.stdout)(human);
  return 0;
}

function printDisks(disks: readonly Disk[], { json }: Values, io: ReleaseIo): number {
  const rows = disks.map((disk) => ({ ...rowOf(disk), against: against(disk) }));
  if (json === true) return say(io, `${JSON.stringify({ schema: 1, disks: rows }, undefined, 2)}\n`);
  const lines = rows.map(
    (row) =>
      `${row.device.padEnd(16)} ${sizeText(row.size).padStart(10)}  ${row.removable ? "removable" : "fixed    "}  ${row.against ?? "free"}  ${row.model}\n`,
  );
  return say(io, lines.length === 0 ? "no disks\n" : lines.join(""));
}

const rowOf = ({ name, size, model, removable, mounts, holders }: Disk) => ({
  device: `/dev/${name}`,
  size,
  model,
  removable,
  mounts,
  holders,
});

/** The code of what speaks against a disk whatever the image, or null. */
function against(disk: Disk): string | null {
  try {
    requireFree(disk, { imageSize: 0, imageOn: "" });
    return null;
  } catch (error) {
    if (error instanceof FlashError) return error.code;
    throw error;
  }
}

const describe = ({ name, size, model, removable }: Disk) =>
  `/dev/${name}: ${sizeText(size)}, ${removable ? "removable" : "fixed"}${model === "" ? "" : `, ${model}`}`;

function say(io: ReleaseIo, text: string): number {
  io.stdout(text);
  return 0;
}
