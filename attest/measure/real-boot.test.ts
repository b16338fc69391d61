import { expect, test } from "vitest";
import { parseAddon } from "./addon.ts";
import { EVENT, parseEventLog } from "./event-log.ts";
import { vector, vectorParts } from "./fixtures/vectors.ts";
import { loadOptionsDigest } from "./initrd.ts";
import { parseMeasurements } from "./measurements.ts";
import { replayPcr } from "./pcr.ts";
import { certificateDer, placeholderDbx, secureBootDigests } from "./secure-boot.ts";

// What was computed from files alone, against what firmware, boot loader and stub of a real boot extended.

const { secureBoot, pcrs, bootloader, uki } = parseMeasurements(vector("plain/measurements.json"));
const der = (name: string) => certificateDer(vector(`keys/${name}.crt`));
const [db, tester] = [der("db"), der("test")];
const firmware = { ownerGuid: secureBoot.ownerGuid, PK: der("PK"), KEK: der("KEK"), dbx: placeholderDbx() };
const eventsOf = (name: "plain" | "addon", pcr: number) =>
  parseEventLog(vectorParts(name).eventLog).filter((event) => event.pcr === pcr && event.type !== EVENT.noAction);

test("PCR 4, 7, 11 and 12 of the bare release are the predicted ones", () => {
  const measured = vectorParts("plain").pcrs;
  for (const index of ["4", "7", "11", "12"] as const)
    expect(measured.get(Number(index)), `PCR ${index}`).toBe(pcrs.sha256[index]);
});

test("PCR 7 holds these events: state, keys, separator, the certificate that was used", () => {
  const digests = secureBootDigests({ ...firmware, db: [db], authorities: [db] });
  expect(eventsOf("plain", 7).map(({ digest }) => digest)).toEqual(digests);
});

test("a second certificate in db shows twice in PCR 7 once something it signed was loaded", () => {
  const digests = secureBootDigests({ ...firmware, db: [db, tester], authorities: [db, tester] });
  expect(eventsOf("addon", 7).map(({ digest }) => digest)).toEqual(digests);
});

test("PCR 4 holds the boot loader, the UKI and the addon, in this order, and not the kernel inside", () => {
  const programs = (name: "plain" | "addon") =>
    eventsOf(name, 4)
      .filter(({ type }) => type === EVENT.bootServicesApplication)
      .map(({ digest }) => digest);
  expect(programs("plain")).toEqual([bootloader.authenticode, uki.authenticode]);
  const { authenticode } = parseAddon(vector("addon/test.addon.efi"));
  expect(programs("addon")).toEqual([bootloader.authenticode, uki.authenticode, authenticode]);
});

test("PCR 9 begins with the command line as the kernel got it", () => {
  const line = parseMeasurements(vector("plain/measurements.json")).commandLine;
  const { commandLine } = parseAddon(vector("addon/test.addon.efi"));
  expect(eventsOf("plain", 9)[0]?.digest).toBe(loadOptionsDigest(line));
  expect(eventsOf("addon", 9).map(({ digest }) => digest)).toContain(loadOptionsDigest(`${line} ${commandLine}`));
});

test("PCR 12 is the addon's command line", () => {
  const { commandLineDigest } = parseAddon(vector("addon/test.addon.efi"));
  expect(vectorParts("addon").pcrs.get(12)).toBe(replayPcr([commandLineDigest]));
});
