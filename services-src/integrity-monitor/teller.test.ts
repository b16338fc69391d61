import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { startTeller, type Teller } from "./teller.ts";

let folder: string;
let teller: Teller | undefined;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "secai-teller-"));
});
afterEach(() => {
  teller?.close();
  rmSync(folder, { recursive: true });
});

function start(script: string) {
  const program = join(folder, "program");
  writeFileSync(program, `#!/bin/sh\n${script}\n`);
  chmodSync(program, 0o755);
  const [onEvent, onLoss] = [vi.fn(), vi.fn<(reason: string) => void>()];
  teller = startTeller({ name: "program", argv: [program, "word"], onEvent, onLoss });
  return { onEvent, onLoss };
}

test("each line is an event", async () => {
  const { onEvent, onLoss } = start('echo "$1"; sleep 0.2; echo more; exec sleep 60');
  await expect.poll(() => onEvent.mock.calls.length, { timeout: 10_000 }).toBe(2);
  expect(onLoss).not.toHaveBeenCalled();
});

test("a program that ends is a loss, by its name, and is started again", async () => {
  const { onEvent, onLoss } = start("echo once; exit 3");
  await expect.poll(() => onEvent.mock.calls.length, { timeout: 20_000 }).toBeGreaterThanOrEqual(2);
  expect(onLoss.mock.calls[0]).toEqual(["program: ended with 3"]);
});

test("a program that is not there is a loss", async () => {
  const onLoss = vi.fn<(reason: string) => void>();
  teller = startTeller({ name: "none", argv: [join(folder, "none")], onEvent: () => undefined, onLoss });
  await expect.poll(() => onLoss.mock.calls.length, { timeout: 10_000 }).toBe(1);
  expect(onLoss.mock.calls[0]?.[0]).toMatch(/^none: .*ENOENT/);
});

test("once closed it tells nothing more", async () => {
  const { onEvent, onLoss } = start("echo first; exec sleep 60");
  await expect.poll(() => onEvent.mock.calls.length, { timeout: 10_000 }).toBe(1);
  teller?.close();
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect([onEvent.mock.calls.length, onLoss.mock.calls.length]).toEqual([1, 0]);
});
