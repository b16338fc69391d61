import fc from "fast-check";
import { expect, test } from "vitest";
import { VmError } from "./errors.ts";
import { encodeRun, type Frame, FrameReader } from "./frames.ts";

const malformed = [
  { name: "an unknown word", bytes: "WHAT 1 2 3\n" },
  { name: "a negative size", bytes: "DONE 1 0 -1 0\n" },
  { name: "a size that is no number", bytes: "DONE 1 0 x 0\n" },
  { name: "a boot id of the wrong length", bytes: "HELLO 1234\n" },
  { name: "an output over the limit", bytes: "DONE 1 0 999999999 0\n" },
  { name: "a field too many", bytes: "DONE 1 0 0 0 0\n" },
  { name: "a header that never ends", bytes: "x".repeat(300) },
];
for (const { name, bytes } of malformed) {
  test(`a frame with ${name} is a protocol fault`, () => {
    expect(() => new FrameReader().push(Buffer.from(bytes))).toThrow(expect.objectContaining({ code: "HARNESS_PROTOCOL" }));
  });
}

test("frames come out whole, however the stream was cut", () => {
  const outputs = fc.array(fc.record({ stdout: fc.uint8Array(), stderr: fc.uint8Array(), status: fc.nat(255) }), {
    maxLength: 5,
  });
  fc.assert(
    fc.property(outputs, fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }), (commands, cuts) => {
      const stream = Buffer.concat(
        commands.map(({ stdout, stderr, status }, id) =>
          Buffer.concat([Buffer.from(`DONE ${id} ${status} ${stdout.length} ${stderr.length}\n`), stdout, stderr]),
        ),
      );
      const reader = new FrameReader();
      const frames: Frame[] = [];
      for (let at = 0, cut = 0; at < stream.length; cut += 1) {
        const size = cuts[cut % cuts.length] ?? 1;
        frames.push(...reader.push(stream.subarray(at, at + size)));
        at += size;
      }
      const expected = commands.map((command, id) => ({ type: "done", id, ...command }));
      expect(
        frames.map((frame) =>
          frame.type === "done"
            ? { ...frame, stdout: Uint8Array.from(frame.stdout), stderr: Uint8Array.from(frame.stderr) }
            : frame,
        ),
      ).toEqual(expected);
    }),
  );
});

test("a reader gives frames or a VmError, nothing else", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
      try {
        new FrameReader().push(Buffer.from(bytes));
      } catch (error) {
        expect(error).toBeInstanceOf(VmError);
      }
    }),
  );
});

test("a greeting between two outputs is seen", () => {
  const id = "0123abcd-0000-4000-8000-000000000000";
  const frames = new FrameReader().push(Buffer.from(`DONE 1 0 2 0\nhiHELLO ${id}\nDONE 2 7 0 0\n`));
  expect(frames.map((frame) => frame.type)).toEqual(["done", "hello", "done"]);
});

test("a command is announced with its sizes in bytes, not characters", () => {
  expect(encodeRun(5, 60, Buffer.from("é"), Buffer.from("in")).toString()).toBe("RUN 5 60 2 2\néin");
});
