import { sha256 } from "@secai/formats/digest";
import { expect, test } from "vitest";
import { EVENT, MAX_EVENT_LOG_BYTES, parseEventLog, replayLog } from "./event-log.ts";
import { vectorParts } from "./fixtures/vectors.ts";
import { ZERO_PCR } from "./pcr.ts";
import { MAX_USERSPACE_LOG_BYTES, parseUserspaceLog } from "./userspace-log.ts";

for (const name of ["plain", "addon"] as const) {
  test(`the logs of a real boot (${name}) replay to every PCR value its TPM quoted`, () => {
    const { eventLog, userspaceLog, pcrs } = vectorParts(name);
    const values = replayLog(parseEventLog(eventLog), parseUserspaceLog(userspaceLog));
    for (const [index, value] of pcrs) expect(values.get(index) ?? ZERO_PCR, `PCR ${index}`).toBe(value);
  });
}

const { eventLog: log, userspaceLog } = vectorParts("plain");
const specIdBytes = 32 + log.readUInt32LE(28);

function poked(offset: number, value: number): Buffer {
  const bytes = Buffer.from(log);
  bytes.writeUInt32LE(value, offset);
  return bytes;
}

const rejectedLogs = [
  { name: "an empty log", bytes: Buffer.alloc(0) },
  { name: "a log without its Spec ID event", bytes: log.subarray(specIdBytes) },
  { name: "an older format", bytes: Buffer.concat([log.subarray(0, 46), Buffer.from("2"), log.subarray(47)]) },
  { name: "a thousand hash algorithms", bytes: poked(32 + 24, 1000) },
  { name: "a bank that is not SHA-256", bytes: poked(32 + 28, 0x0020000c) },
  { name: "a Spec ID event of another size", bytes: poked(28, log.readUInt32LE(28) + 1) },
  { name: "PCR 24", bytes: poked(specIdBytes, 24) },
  { name: "an event without digests", bytes: poked(specIdBytes + 8, 0) },
  { name: "an event longer than the log", bytes: poked(specIdBytes + 12 + 2 + 32, 0xffffffff) },
  { name: "half an event", bytes: log.subarray(0, log.length - 1) },
  { name: "a log without end", bytes: Buffer.concat([log, Buffer.alloc(MAX_EVENT_LOG_BYTES)]) },
];
for (const { name, bytes } of rejectedLogs) {
  test(`parseEventLog rejects ${name}`, () =>
    expect(() => parseEventLog(bytes)).toThrow(expect.objectContaining({ code: "EVENT_LOG_MALFORMED" })));
}

test("data of variable events is believed only when its digest is the measured one", () => {
  const events = parseEventLog(log);
  const secureBoot = events.find(({ type }) => type === EVENT.variableDriverConfig);
  expect(secureBoot?.dataMeasured).toBe(true);
  expect(events.filter(({ type }) => type === EVENT.ipl).every(({ dataMeasured }) => !dataMeasured)).toBe(true);
  const at = log.indexOf(Buffer.from(secureBoot?.data ?? []));
  const changed = Buffer.from(log);
  changed[at + 20] = 0xff;
  expect(parseEventLog(changed).find(({ type }) => type === EVENT.variableDriverConfig)?.dataMeasured).toBe(false);
});

test("events that are not measured leave the replay alone, all others change it", () => {
  const events = parseEventLog(log);
  const values = replayLog(events);
  const last = events.at(-1) ?? { pcr: 0, type: 0, digest: sha256(""), data: new Uint8Array(), dataMeasured: false };
  expect(replayLog([...events, { ...last, type: EVENT.noAction }])).toEqual(values);
  expect(replayLog([...events, last])).not.toEqual(values);
});

test("PCR 0 starts from the locality the firmware announced", () => {
  const data = Buffer.from("StartupLocality\0\u0003", "latin1");
  const locality = { pcr: 0, type: EVENT.noAction, digest: sha256(""), data, dataMeasured: false };
  expect(replayLog([locality]).get(0)).toBe(`${"0".repeat(63)}3`);
});

const record = (pcr: unknown, digest: unknown, rest = "") =>
  `\u001e{"pcr":${pcr},"digests":[{"hashAlg":"sha256","digest":${digest}}]${rest}}\n`;
const digest = `"${sha256("ready")}"`;
const rejectedRecords = [
  { name: "no record separator", text: record(11, digest).slice(1) },
  { name: "a torn record", text: record(11, digest).trimEnd() },
  { name: "text that is not JSON", text: "\u001e{\n" },
  { name: "a list", text: "\u001e[]\n" },
  { name: "no PCR", text: record(null, digest) },
  { name: "PCR 24", text: record(24, digest) },
  { name: "a fractional PCR", text: record(1.5, digest) },
  { name: "a short digest", text: record(11, '"ab"') },
  { name: "an upper-case digest", text: record(11, digest.toUpperCase()) },
  { name: "no digest", text: '\u001e{"pcr":11,"digests":[]}\n' },
  { name: "null digests", text: '\u001e{"pcr":11,"digests":[null]}\n' },
];
for (const { name, text } of rejectedRecords) {
  test(`parseUserspaceLog rejects ${name}`, () =>
    expect(() => parseUserspaceLog(Buffer.from(text))).toThrow(expect.objectContaining({ code: "USERSPACE_LOG_MALFORMED" })));
}
test("parseUserspaceLog rejects bytes that are not UTF-8, and too many", () => {
  for (const bytes of [Buffer.from([0x1e, 0xff, 0x0a]), Buffer.alloc(MAX_USERSPACE_LOG_BYTES + 1, 0x1e)]) {
    expect(() => parseUserspaceLog(bytes)).toThrow(expect.objectContaining({ code: "USERSPACE_LOG_MALFORMED" }));
  }
});

test("a record's text counts only when it is what was measured", () => {
  expect(parseUserspaceLog(userspaceLog).map(({ text }) => text)).toEqual(["enter-initrd", "leave-initrd", "sysinit", "ready"]);
  const [lied] = parseUserspaceLog(Buffer.from(record(11, digest, ',"content":{"string":"shutdown"}')));
  expect(lied).toEqual({ pcr: 11, digest: sha256("ready"), text: undefined });
});
