import { type Sha256, sha256 } from "@secai/formats/digest";
import fc from "fast-check";
import { expect, test } from "vitest";
import type { StepRecord } from "../step.ts";
import { parseRecord, printRecord } from "./record.ts";

const key = sha256("key");
const record: StepRecord = {
  id: "a",
  key,
  step: { kind: "fetch", id: "a", network: "fetch", files: [] },
  inputs: [],
  outputs: { result: { digest: sha256("x"), type: "file", size: 1 } },
  startedOn: "2026-01-01T00:00:00.000Z",
  finishedOn: "2026-01-01T00:00:01.000Z",
  cached: false,
  engine: "local",
  drift: [],
};
const bytes = Buffer.from(printRecord(record));

test("another key's record is not this one's", () => expect(parseRecord(bytes, sha256("other") as Sha256)).toBeUndefined());

test("no cut, flip or noise is taken for a record, and nothing throws", () => {
  fc.assert(
    fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, mask) => {
      const flipped = Buffer.from(bytes);
      flipped[at] = (flipped[at] ?? 0) ^ mask;
      expect(parseRecord(flipped, key)).toBeUndefined();
      expect(parseRecord(bytes.subarray(0, at), key)).toBeUndefined();
    }),
  );
  fc.assert(fc.property(fc.json(), (text) => parseRecord(Buffer.from(text), key) === undefined));
});

test("parse gives back what print was given", () => expect(parseRecord(bytes, key)).toEqual(record));
