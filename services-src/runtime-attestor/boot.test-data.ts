import { constants, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { type Sha256, sha256 } from "@secai/formats/digest";
import { commandLineDigest } from "@secai/measure/addon";
import { type AcceptedAddon, addonPcr } from "@secai/measure/addon-pcrs";
import { EVENT, type Extension } from "@secai/measure/event-log";
import { initrdPcr, loadOptionsDigest } from "@secai/measure/initrd";
import { type Measurements, parseMeasurements, printMeasurements, SITE_PCRS } from "@secai/measure/measurements";
import { replayPcr, ZERO_PCR } from "@secai/measure/pcr";
import { pcr11Policy } from "@secai/measure/pcr-signature";
import { bootPcr } from "@secai/measure/predict";
import { secureBootOffDigest } from "@secai/measure/secure-boot";
import { BOOT_PHASES, phaseValues, READY_PATH } from "@secai/measure/uki";

// A boot that never was, but measures as one: made up digests, real event logs, real arithmetic.

const BOOT_ACTION = "Calling EFI Application from Boot Option";
const KERNEL_EVENT = 0x00000006;

export interface TestRelease {
  readonly measurements: Measurements;
  /** What systemd-stub extends into PCR 11. */
  readonly sections: readonly Sha256[];
}

export function testRelease(name: string): TestRelease {
  const rootHash = sha256(`root ${name}`);
  const commandLine = `roothash=${rootHash} console=ttyS0 quiet`;
  const sections = [sha256(".linux\0"), sha256(`kernel ${name}`)];
  const [bootloader, uki, initrd] = ["boot loader", "uki", "initrd"].map((what) => sha256(`${what} ${name}`)) as [
    Sha256,
    Sha256,
    Sha256,
  ];
  const phases = phaseValues({ digests: sections });
  const pcrs = {
    "4": bootPcr([bootloader, uki]),
    "7": replayPcr([sha256("firmware keys")]),
    "9": initrdPcr(commandLine, initrd),
    "11": phases[READY_PATH] as Sha256,
    "12": ZERO_PCR,
  };
  const measurements: Measurements = {
    schema: 1,
    designation: "dev",
    rootHash,
    commandLine,
    uki: { sha256: sha256(`uki file ${name}`), authenticode: uki },
    bootloader: { sha256: sha256(`loader file ${name}`), authenticode: bootloader },
    secureBoot: { ownerGuid: "11111111-2222-3333-4444-555555555555", PK: sha256("PK"), KEK: sha256("KEK"), db: [sha256("db")] },
    pcrs: { sha256: pcrs },
    pcr11Phases: phases,
    initrd,
    siteSpecificPcrs: Object.keys(SITE_PCRS).map(Number),
    sitePcrs: SITE_PCRS,
  };
  return { measurements: parseMeasurements(Buffer.from(printMeasurements(measurements))), sections };
}

export const testAddon: AcceptedAddon = { authenticode: sha256("addon"), commandLine: "test.agent=1" };

export interface Boot {
  readonly release: TestRelease;
  readonly addon?: AcceptedAddon;
  readonly secureBoot?: boolean;
  /** How many phases have been reached; all by default. */
  readonly phases?: number;
}

interface Event extends Extension {
  readonly type: number;
  readonly data: Uint8Array;
}

export function commandLineOf({ release, addon }: Boot): string {
  const { commandLine } = release.measurements;
  return addon === undefined ? commandLine : `${commandLine} ${addon.commandLine}`;
}

function firmwareEvents(boot: Boot): readonly Event[] {
  const { measurements, sections } = boot.release;
  const { addon, secureBoot = true } = boot;
  const event = (pcr: number, type: number, digest: Sha256, data: Uint8Array = Buffer.from("about it")) => ({
    pcr,
    type,
    digest,
    data,
  });
  const separator = Buffer.alloc(4);
  const programs = [measurements.bootloader.authenticode, measurements.uki.authenticode, ...(addon ? [addon.authenticode] : [])];
  return [
    event(0, EVENT.ipl, sha256("firmware")),
    event(7, EVENT.variableDriverConfig, secureBoot ? sha256("firmware keys") : secureBootOffDigest()),
    event(4, EVENT.action, sha256(BOOT_ACTION), Buffer.from(BOOT_ACTION)),
    event(4, EVENT.separator, sha256(separator), separator),
    ...programs.map((digest) => event(4, EVENT.bootServicesApplication, digest)),
    ...sections.map((digest) => event(11, EVENT.ipl, digest)),
    ...(addon ? [event(12, EVENT.ipl, commandLineDigest(addon.commandLine))] : []),
    event(9, KERNEL_EVENT, loadOptionsDigest(commandLineOf(boot))),
    event(9, KERNEL_EVENT, measurements.initrd as Sha256),
  ];
}

const reachedPhases = ({ phases = BOOT_PHASES.length }: Boot) => BOOT_PHASES.slice(0, phases);

/** Everything that is extended, in order. */
export function extensionsOf(boot: Boot): readonly Extension[] {
  return [...firmwareEvents(boot), ...reachedPhases(boot).map((phase) => ({ pcr: 11, digest: sha256(phase) }))];
}

const u16 = (value: number) => Buffer.from([value & 0xff, value >> 8]);
const u32 = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
};

/** As the kernel exports it. */
export function eventLogOf(boot: Boot): Buffer {
  const specId = Buffer.concat([
    Buffer.from("Spec ID Event03\0"),
    Buffer.alloc(8),
    ...[u32(1), u16(0x000b), u16(32), Buffer.from([0])],
  ]);
  const header = [u32(0), u32(EVENT.noAction), Buffer.alloc(20), u32(specId.length), specId];
  const events = firmwareEvents(boot).map(({ pcr, type, digest, data }) =>
    Buffer.concat([u32(pcr), u32(type), u32(1), u16(0x000b), Buffer.from(digest, "hex"), u32(data.length), data]),
  );
  return Buffer.concat([...header, ...events]);
}

/** As systemd keeps it. */
export function userspaceLogOf(boot: Boot): string {
  const record = (phase: string) => ({
    pcr: 11,
    digests: [{ hashAlg: "sha256", digest: sha256(phase) }],
    content: { string: phase, eventType: "phase" },
  });
  return reachedPhases(boot)
    .map((phase) => `\u001e${JSON.stringify(record(phase))}\n`)
    .join("");
}

/** PCR values that the boot leads to, of those that attestations quote. */
export function pcrsOf(boot: Boot): Map<number, Sha256> {
  const values = new Map([...Array(16).keys()].filter((index) => index !== 10).map((index) => [index, ZERO_PCR as Sha256]));
  for (const { pcr, digest } of extensionsOf(boot)) values.set(pcr, sha256(Buffer.from(`${values.get(pcr)}${digest}`, "hex")));
  return values;
}

export interface PcrKey {
  readonly privateKey: KeyObject;
  readonly pem: string;
}

export function makePcrKey(): PcrKey {
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  return { privateKey, pem: publicKey.export({ type: "spki", format: "pem" }).toString() };
}

/** What ukify puts into a kernel image's .pcrsig. */
export function pcrSignaturesOf({ measurements }: TestRelease, { privateKey }: PcrKey): string {
  const entries = Object.values(measurements.pcr11Phases).map((value) => {
    const pol = pcr11Policy(value);
    const padding = constants.RSA_PKCS1_PADDING;
    const sig = sign("sha256", Buffer.from(pol, "hex"), { key: privateKey, padding }).toString("base64");
    return { pcrs: [11], pkfp: sha256("unused"), pol, sig };
  });
  return JSON.stringify({ sha256: entries });
}

export { addonPcr };
