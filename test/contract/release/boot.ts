import { type Sha256, sha256 } from "@secai/formats/digest";
import { authenticodeSha256 } from "@secai/measure/authenticode";
import { EVENT, type LogEvent, parseEventLog } from "@secai/measure/event-log";
import { parsePe, sectionContent } from "@secai/measure/pe";
import { parseUki } from "@secai/measure/uki";

/**
 * The event log of a recorded boot as it would be had firmware started these programs instead: the digests of boot loader and kernel image
 * in PCR 4, of the kernel image's sections in PCR 11 and of the initrd in PCR 9 are theirs, everything else is as recorded.
 */
export function rebootedLog(recorded: Uint8Array, bootloader: Uint8Array, uki: Uint8Array): Buffer {
  const events = parseEventLog(recorded);
  const programs = events.filter(({ pcr, type }) => pcr === 4 && type === EVENT.bootServicesApplication);
  const contents = events.filter(({ pcr, digest, data }) => pcr === 11 && digest !== sha256(`${sectionName(data)}\0`));
  const log = Buffer.from(recorded);
  for (const [index, program] of [bootloader, uki].entries()) replaceDigest(log, programs[index], authenticodeSha256(program));
  for (const event of contents) replaceDigest(log, event, sha256(sectionOf(uki, sectionName(event.data))));
  const initrd = events.find(({ pcr, data }) => pcr === 9 && Buffer.from(data).includes("Linux initrd"));
  replaceDigest(log, initrd, parseUki(uki).initrdDigest);
  return log;
}

/** systemd-stub describes each event with the section's name in UTF-16. */
const sectionName = (data: Uint8Array) => Buffer.from(data).toString("utf16le").replace(/\0.*$/s, "");

function sectionOf(uki: Uint8Array, name: string): Uint8Array {
  const file = parsePe(uki);
  const section = file.sections.find((one) => one.name === name);
  if (section === undefined) throw new Error(`the recorded boot measured ${name}, and this kernel image has none`);
  return sectionContent(file, section);
}

function replaceDigest(log: Buffer, event: LogEvent | undefined, digest: Sha256): void {
  const at = event === undefined ? -1 : log.indexOf(Buffer.from(event.digest, "hex"));
  if (at < 0) throw new Error("the recorded log has such an event");
  log.write(digest, at, "hex");
}
