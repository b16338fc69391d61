import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Counters } from "./counters.ts";
import {
  judgeDevices,
  judgeDrift,
  judgeDrivers,
  judgeEcc,
  judgeMemory,
  judgeSentinels,
  judgeTensors,
  judgeThermal,
  withReference,
} from "./judge.ts";
import type { Outcome } from "./outcome.ts";
import { similarity } from "./similarity.ts";

const A = "a".repeat(64);
const B = "b".repeat(64);
const seen = ({ status, score }: Outcome) => ({ status, score });

describe("tensor_hash", () => {
  const four = { "a.gguf": A, "b.gguf": A, "c.gguf": A, "d.gguf": A };
  const rows = [
    { name: "one changed of four", expected: four, actual: { ...four, "a.gguf": B }, is: { status: "drift", score: 0.25 } },
    {
      name: "two changed of four",
      expected: four,
      actual: { ...four, "a.gguf": B, "b.gguf": B },
      is: { status: "drift", score: 0.5 },
    },
    {
      name: "one changed, one gone, one rogue",
      expected: four,
      actual: { "a.gguf": B, "b.gguf": A, "c.gguf": A, "x.bin": A },
      is: { status: "fail", score: 0.75 },
    },
    { name: "one of one changed", expected: { "a.gguf": A }, actual: { "a.gguf": B }, is: { status: "fail", score: 1 } },
    { name: "one of one gone", expected: { "a.gguf": A }, actual: {}, is: { status: "fail", score: 1 } },
    { name: "a rogue model beside four", expected: four, actual: { ...four, "x.gguf": A }, is: { status: "drift", score: 0.25 } },
    { name: "a rogue model beside none", expected: {}, actual: { "x.gguf": A }, is: { status: "fail", score: 1 } },
    {
      name: "many rogue models beside one",
      expected: { "a.gguf": A },
      actual: { "a.gguf": A, "x.gguf": A, "y.gguf": A },
      is: { status: "fail", score: 1 },
    },
    { name: "all as it was", expected: four, actual: four, is: { status: "pass", score: 0 } },
    { name: "no models then, none now", expected: {}, actual: {}, is: { status: "pass", score: 0 } },
  ] as const;
  for (const { name, expected, actual, is } of rows) test(name, () => expect(seen(judgeTensors(expected, actual))).toEqual(is));

  test("the changed model is named first", () => {
    expect(judgeTensors(four, { ...four, "d.gguf": B, "0-rogue.gguf": A }).models).toEqual(["d.gguf", "0-rogue.gguf"]);
  });
  test("a file called like a method of every object is rogue, not expected", () => {
    expect(judgeTensors({}, { constructor: A }).status).toBe("fail");
  });
});

describe("similarity", () => {
  const rows = [
    { a: "", b: "", is: 1 },
    { a: "", b: "x", is: 0 },
    { a: "The cat", b: "the CAT", is: 1 },
    { a: "a b", b: "b c", is: 1 / 3 },
    { a: "a a a", b: "a", is: 1 },
    { a: " a\n\tb ", b: "b a", is: 1 },
  ];
  for (const { a, b, is } of rows)
    test(`${JSON.stringify(a)} ~ ${JSON.stringify(b)}`, () => expect(similarity(a, b)).toBeCloseTo(is));
  test("is symmetric, between 0 and 1, and 1 for equals", () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (a, b) => {
        expect(similarity(a, b)).toBe(similarity(b, a));
        expect(similarity(a, b)).toBeGreaterThanOrEqual(0);
        expect(similarity(a, b)).toBeLessThanOrEqual(1);
        expect(similarity(a, a)).toBe(1);
      }),
    );
  });
});

describe("sentinel_inference", () => {
  const answer = (actual: string | undefined) => ({ name: "s", expected: "one two three four", actual });
  const rows = [
    { name: "another answer", answers: [answer("five")], is: { status: "fail", score: 1 } },
    { name: "no answer", answers: [answer(undefined)], is: { status: "fail", score: 1 } },
    {
      name: "one wrong, one adrift, two right",
      answers: [answer("x"), answer("one two three"), answer("one two three four"), answer("one two three four")],
      is: { status: "fail", score: 0.5 },
    },
    { name: "exactly half alike is drift", answers: [answer("one two")], is: { status: "drift", score: 0.5 } },
    { name: "just below half alike", answers: [{ name: "s", expected: "a b c", actual: "a" }], is: { status: "fail", score: 1 } },
    {
      name: "one adrift of two",
      answers: [answer("one two three"), answer("one two three four")],
      is: { status: "drift", score: 0.25 },
    },
    { name: "the same", answers: [answer("ONE two three four")], is: { status: "pass", score: 0 } },
  ] as const;
  for (const { name, answers, is } of rows) test(name, () => expect(seen(judgeSentinels(answers, 0.9))).toEqual(is));
  test("exactly the threshold passes", () => expect(judgeSentinels([answer("one two three")], 0.75).status).toBe("pass"));
});

test("reference_drift: under 0.1 passes, under 0.5 drifts, else fails", () => {
  const drift = (alike: number) =>
    judgeDrift([{ name: "s", expected: [..."0123456789".slice(0, alike)].join(" "), actual: [..."0123456789"].join(" ") }]);
  expect(drift(10).status).toBe("pass");
  expect(seen(drift(8))).toEqual({ status: "drift", score: expect.closeTo(0.2) as number });
  expect(drift(6).status).toBe("drift");
  expect(drift(5).status).toBe("fail");
  expect(drift(0).status).toBe("fail");
});

describe("driver_fingerprint", () => {
  const driver = { module: "amdgpu", version: "6.1", srcversion: "ABC", file_sha256: A };
  const rows = [
    { name: "another version", expected: [driver], actual: [{ ...driver, version: "6.2" }], is: { status: "fail", score: 1 } },
    { name: "other sources", expected: [driver], actual: [{ ...driver, srcversion: "ABD" }], is: { status: "fail", score: 1 } },
    { name: "another file", expected: [driver], actual: [{ ...driver, file_sha256: B }], is: { status: "fail", score: 1 } },
    {
      name: "a file that cannot be read any more",
      expected: [driver],
      actual: [{ ...driver, file_sha256: null }],
      is: { status: "fail", score: 1 },
    },
    {
      name: "another driver",
      expected: [driver],
      actual: [driver, { ...driver, module: "nvidia" }],
      is: { status: "fail", score: 1 },
    },
    {
      name: "a driver that is not loaded",
      expected: [driver, { ...driver, module: "xe" }],
      actual: [driver],
      is: { status: "drift", score: 0.5 },
    },
    { name: "the same", expected: [driver], actual: [driver], is: { status: "pass", score: 0 } },
  ] as const;
  for (const { name, expected, actual, is } of rows)
    test(name, () => expect(seen(judgeDrivers(expected, actual, false))).toEqual(is));

  test("with another release, what lies in its root is told and no fault", () => {
    const { status, findings } = judgeDrivers([driver], [{ ...driver, version: "6.2", file_sha256: B }], true);
    expect([status, findings.map(({ severity, item }) => [severity, item])]).toEqual(["pass", [["info", "amdgpu"]]]);
  });
  test("with another release, a driver from nowhere is one all the same", () => {
    const nowhere = { ...driver, module: "nvidia", file_sha256: null };
    expect(seen(judgeDrivers([driver], [driver, nowhere], true))).toEqual({ status: "fail", score: 1 });
  });
});

describe("device_allowlist", () => {
  const both = ["/dev/dri/card0", "/dev/dri/renderD128"];
  test("an unexpected node fails", () =>
    expect(seen(judgeDevices(both, [...both, "/dev/nvidia0"]))).toEqual({ status: "fail", score: 1 }));
  test("a missing node drifts", () =>
    expect(seen(judgeDevices(both, ["/dev/dri/card0"]))).toEqual({ status: "drift", score: 0.5 }));
  test("one swapped for another fails", () =>
    expect(judgeDevices(both, ["/dev/dri/card0", "/dev/dri/renderD129"]).status).toBe("fail"));
  test("the same passes", () => expect(judgeDevices(both, [...both].reverse()).status).toBe("pass"));
});

const card: Counters = {
  device: "0000:01:00.0",
  eccEnabled: true,
  corrected: 0,
  uncorrected: 0,
  celsius: 50,
  criticalCelsius: null,
  memoryTotal: 1000,
  memoryUsed: 10,
  retired: 0,
};

describe("counters", () => {
  const ecc = [
    { name: "no device", cards: [], is: { status: "skip", score: 0 } },
    { name: "no such counters", cards: [{ ...card, eccEnabled: null }], is: { status: "skip", score: 0 } },
    { name: "one uncorrected error", cards: [card, { ...card, uncorrected: 1 }], is: { status: "fail", score: 1 } },
    { name: "101 corrected errors", cards: [{ ...card, corrected: 101 }], is: { status: "drift", score: 0.4 } },
    { name: "100 corrected errors", cards: [{ ...card, corrected: 100 }], is: { status: "pass", score: 0 } },
    {
      name: "switched off",
      cards: [{ ...card, eccEnabled: false, corrected: null, uncorrected: null }],
      is: { status: "drift", score: 0.3 },
    },
    { name: "on, but silent", cards: [{ ...card, corrected: null, uncorrected: null }], is: { status: "error", score: 0.3 } },
  ] as const;
  for (const { name, cards, is } of ecc) test(`ecc_status: ${name}`, () => expect(seen(judgeEcc(cards, 100))).toEqual(is));

  const thermal = [
    { name: "no sensor", cards: [{ ...card, celsius: null }], is: "skip" },
    { name: "at the limit", cards: [{ ...card, celsius: 95 }], is: "drift" },
    { name: "at the driver's lower limit", cards: [{ ...card, celsius: 90, criticalCelsius: 90 }], is: "drift" },
    { name: "a driver's higher limit does not lift ours", cards: [{ ...card, celsius: 95, criticalCelsius: 110 }], is: "drift" },
    { name: "below", cards: [{ ...card, celsius: 94 }], is: "pass" },
  ] as const;
  for (const { name, cards, is } of thermal) test(`thermal: ${name}`, () => expect(judgeThermal(cards, 95).status).toBe(is));

  const memory = [
    { name: "no counters", cards: [{ ...card, memoryTotal: null, retired: null }], is: "skip" },
    { name: "more in use than there is", cards: [{ ...card, memoryUsed: 1001 }], is: "fail" },
    { name: "no memory at all", cards: [{ ...card, memoryTotal: 0 }], is: "fail" },
    { name: "a retired page", cards: [{ ...card, retired: 1 }], is: "drift" },
    { name: "all of it in use", cards: [{ ...card, memoryUsed: 1000 }], is: "pass" },
  ] as const;
  for (const { name, cards, is } of memory) test(`memory_counters: ${name}`, () => expect(judgeMemory(cards).status).toBe(is));
});

test("without a baseline nothing passes", () => {
  expect(withReference(undefined, "devices", () => ({ status: "pass", score: 0, findings: [] })).status).toBe("skip");
});
