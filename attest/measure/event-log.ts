import { type Sha256, sha256 } from "@secai/formats/digest";
import { ByteReader } from "./byte-reader.ts";
import { extendPcr, ZERO_PCR } from "./pcr.ts";

/** Largest event log read, in bytes; the kernel's is 64 KiB by default, firmware with large db and dbx variables needs some more. */
export const MAX_EVENT_LOG_BYTES = 1024 * 1024;
const MAX_EVENTS = 4096;
const MAX_BANKS = 8;
const PCR_COUNT = 24;
const ALG_SHA256 = 0x000b;

/** Event types this project looks at (TCG PFP 10.4.1). */
export const EVENT = {
  noAction: 0x00000003,
  separator: 0x00000004,
  ipl: 0x0000000d,
  variableDriverConfig: 0x80000001,
  bootServicesApplication: 0x80000003,
  action: 0x80000007,
  variableAuthority: 0x800000e0,
} as const;
/** For these the digest is over the event's own data, so the data can be believed once the log replays. */
const MEASURES_ITS_DATA: ReadonlySet<number> = new Set([
  EVENT.separator,
  EVENT.variableDriverConfig,
  EVENT.action,
  EVENT.variableAuthority,
]);

export interface LogEvent {
  readonly pcr: number;
  readonly type: number;
  readonly digest: Sha256;
  readonly data: Uint8Array;
  /** Whether `digest` is the digest of `data`; false also for types whose data only describes what was measured. */
  readonly dataMeasured: boolean;
}

/** TCG_PCR_EVENT with TCG_EfiSpecIDEvent: names the hash algorithms and their sizes (TCG PFP 10.4.5.1). */
function readBanks(reader: ByteReader): ReadonlyMap<number, number> {
  if (reader.u32le() !== 0 || reader.u32le() !== EVENT.noAction) reader.fail("a Spec ID event first", "another event");
  reader.bytes(20);
  const end = reader.u32le() + reader.offset;
  if (Buffer.from(reader.bytes(16)).toString("latin1") !== "Spec ID Event03\0") reader.fail("Spec ID Event03", "another format");
  reader.bytes(8);
  const count = reader.u32le();
  if (count === 0 || count > MAX_BANKS) reader.fail(`1 to ${MAX_BANKS} hash algorithms`, `${count}`);
  const banks = new Map<number, number>();
  for (let index = 0; index < count; index++) banks.set(reader.u16le(), reader.u16le());
  if (banks.size !== count) reader.fail("different hash algorithms", "one twice");
  if (banks.get(ALG_SHA256) !== 32) reader.fail("a SHA-256 bank", "none");
  reader.bytes(reader.u8());
  if (reader.offset !== end) reader.fail(`a Spec ID event that ends at ${end}`, `${reader.offset}`);
  return banks;
}

function readDigest(reader: ByteReader, banks: ReadonlyMap<number, number>): Sha256 {
  const count = reader.u32le();
  if (count !== banks.size) reader.fail(`${banks.size} digests`, `${count}`);
  const seen = new Map<number, Uint8Array>();
  for (let index = 0; index < count; index++) {
    const algorithm = reader.u16le();
    const size = banks.get(algorithm) ?? reader.fail("an announced hash algorithm", `0x${algorithm.toString(16)}`);
    if (seen.has(algorithm)) reader.fail("one digest an algorithm", `two of 0x${algorithm.toString(16)}`);
    seen.set(algorithm, reader.bytes(size));
  }
  const digest = seen.get(ALG_SHA256) ?? reader.fail("a SHA-256 digest", "none");
  return Buffer.from(digest).toString("hex") as Sha256;
}

/** TCG_PCR_EVENT2. */
function readEvent(reader: ByteReader, banks: ReadonlyMap<number, number>): LogEvent {
  const pcr = reader.u32le();
  const type = reader.u32le();
  if (pcr >= PCR_COUNT && type !== EVENT.noAction) reader.fail(`a PCR below ${PCR_COUNT}`, `${pcr}`);
  const digest = readDigest(reader, banks);
  const data = reader.bytes(reader.u32le());
  return { pcr, type, digest, data, dataMeasured: MEASURES_ITS_DATA.has(type) && sha256(data) === digest };
}

/**
 * Parses a crypto-agile firmware event log, as the kernel exports it in binary_bios_measurements (TCG PFP 10).
 * Nothing in it is true until its replay equals quoted PCR values.
 * @throws MeasureError EVENT_LOG_MALFORMED
 */
export function parseEventLog(bytes: Uint8Array): readonly LogEvent[] {
  const reader = new ByteReader(bytes, "EVENT_LOG_MALFORMED");
  if (bytes.length > MAX_EVENT_LOG_BYTES) reader.fail(`at most ${MAX_EVENT_LOG_BYTES} bytes`, `${bytes.length}`);
  const banks = readBanks(reader);
  const events: LogEvent[] = [];
  while (reader.remaining > 0) {
    if (events.length === MAX_EVENTS) reader.fail(`at most ${MAX_EVENTS} events`, "more");
    events.push(readEvent(reader, banks));
  }
  return events;
}

/** PCR 0 starts at the locality the TPM was started from (TCG PFP 10.4.5.3): 3, or 4 with a hardware measured start. */
function startLocality(events: readonly LogEvent[]): number {
  const found = events.find(({ type, data }) => {
    return (
      type === EVENT.noAction &&
      Buffer.from(data.subarray(0, 16)).toString("latin1") === "StartupLocality\0" &&
      data.length === 17
    );
  });
  return found?.data[16] ?? 0;
}

/** One value a log claims was extended into a PCR. */
export interface Extension {
  readonly pcr: number;
  readonly digest: Sha256;
}

/** PCR values of the SHA-256 bank that the firmware's events, then `later` ones of the running system, lead to. */
export function replayLog(events: readonly LogEvent[], later: readonly Extension[] = []): ReadonlyMap<number, Sha256> {
  const locality = startLocality(events).toString(16).padStart(2, "0");
  const values = new Map<number, Sha256>([[0, (ZERO_PCR.slice(0, 62) + locality) as Sha256]]);
  for (const { pcr, digest } of [...events.filter(({ type }) => type !== EVENT.noAction), ...later]) {
    values.set(pcr, extendPcr(values.get(pcr) ?? ZERO_PCR, digest));
  }
  return values;
}
