import { strict as assert } from "node:assert";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "vitest";
import { type Outbox, openOutbox } from "./outbox.ts";
import { systemClock } from "./sources.ts";

let home: string;
let directory: string;
const opened: Outbox<number>[] = [];
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "secai-outbox-"));
  directory = join(home, "outbox");
});
afterEach(async () => {
  for (const outbox of opened.splice(0)) await outbox.close();
  await rm(home, { recursive: true });
});

interface Receiver {
  up: boolean;
  readonly got: { message: number; key: string }[];
  refuse?(message: number): boolean;
  calls: number;
}
const newReceiver = (up = true): Receiver => ({ up, got: [], calls: 0 });

async function open(receiver: Receiver, maxMessages = 1000): Promise<Outbox<number>> {
  const outbox = await openOutbox<number>({
    directory,
    maxMessages,
    clock: systemClock,
    log: () => {},
    retryMs: { first: 5, last: 20 },
    async deliver(message, key) {
      receiver.calls += 1;
      if (!receiver.up) throw new Error("down");
      if (receiver.refuse?.(message) === true) return "refused";
      receiver.got.push({ message, key });
      return "delivered";
    },
  });
  opened.push(outbox);
  return outbox;
}

async function until(condition: () => boolean): Promise<void> {
  for (let round = 0; round < 2000 && !condition(); round += 1) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.ok(condition());
}
const messages = (receiver: Receiver): number[] => receiver.got.map(({ message }) => message);
const count = (length: number): number[] => Array.from({ length }, (_, index) => index);

test("a directory that is a link or that others may look into is refused", async () => {
  await mkdir(join(home, "elsewhere"), { mode: 0o700 });
  await symlink(join(home, "elsewhere"), directory);
  await assert.rejects(open(newReceiver()), { code: "OUTBOX_DIRECTORY" });
  await rm(directory);
  await mkdir(directory, { mode: 0o755 });
  await assert.rejects(open(newReceiver()), { code: "OUTBOX_DIRECTORY" });
});

test("a directory that cannot be made is no outbox", async () => {
  await writeFile(directory, "");
  await assert.rejects(open(newReceiver()), { code: "OUTBOX_DIRECTORY" });
  directory = join(home, "absent/outbox");
  await assert.rejects(open(newReceiver()), { code: "OUTBOX_UNAVAILABLE" });
});

test("a full outbox refuses by name, and takes messages again when there is room", async () => {
  const receiver = newReceiver(false);
  const outbox = await open(receiver, 3);
  const puts = await Promise.allSettled(count(5).map((message) => outbox.put(message)));
  assert.deepEqual(
    puts.map(({ status }) => status),
    ["fulfilled", "fulfilled", "fulfilled", "rejected", "rejected"],
  );
  await assert.rejects(outbox.put(9), { code: "OUTBOX_FULL" });
  receiver.up = true;
  await until(() => outbox.size() === 0);
  await outbox.put(10);
  await until(() => receiver.got.length === 4);
  assert.deepEqual(messages(receiver), [0, 1, 2, 10]);
});

test("a receiver that is down loses nothing and gets everything in order", async () => {
  const receiver = newReceiver(false);
  const outbox = await open(receiver);
  const keys = await Promise.all(count(50).map((message) => outbox.put(message)));
  await until(() => receiver.calls > 3);
  assert.equal(outbox.size(), 50);
  receiver.up = true;
  await until(() => outbox.size() === 0);
  assert.deepEqual(messages(receiver), count(50));
  assert.deepEqual(
    receiver.got.map(({ key }) => key),
    keys,
  );
  assert.equal(new Set(keys).size, 50);
  assert.deepEqual(await readdir(directory), []);
});

test("a restart sends what waited, with the same keys, before what is new", async () => {
  const down = newReceiver(false);
  const before = await open(down);
  const keys = [await before.put(1), await before.put(2)];
  await before.close();
  const receiver = newReceiver();
  const after = await open(receiver);
  keys.push(await after.put(3));
  await until(() => receiver.got.length === 3);
  assert.deepEqual(
    receiver.got.map(({ key }) => key),
    keys,
  );
});

test("a crash between sending and removing sends again with the same key", async () => {
  const down = newReceiver(false);
  const first = await open(down);
  const key = await first.put(7);
  await first.close();
  const [name = ""] = await readdir(directory);
  const bytes = await readFile(join(directory, name));
  const receiver = newReceiver();
  const second = await open(receiver);
  await until(() => receiver.got.length === 1);
  await until(() => second.size() === 0);
  await second.close();
  await writeFile(join(directory, name), bytes);
  await open(receiver);
  await until(() => receiver.got.length === 2);
  assert.deepEqual(receiver.got, [
    { message: 7, key },
    { message: 7, key },
  ]);
});

test("what the receiver refuses for good is kept aside, counted, and holds nothing up", async () => {
  const receiver: Receiver = { ...newReceiver(), refuse: (message) => message % 2 === 1 };
  const outbox = await open(receiver);
  for (const message of count(6)) await outbox.put(message);
  await until(() => outbox.size() === 0);
  assert.deepEqual(messages(receiver), [0, 2, 4]);
  assert.equal(outbox.refused(), 3);
  await outbox.close();
  assert.equal((await open(receiver)).refused(), 3);
  assert.equal((await readdir(directory)).length, 3);
});

test("refused messages do not pile up without end", async () => {
  const receiver: Receiver = { ...newReceiver(), refuse: () => true };
  const outbox = await open(receiver);
  for (const message of count(110)) await outbox.put(message);
  await until(() => outbox.size() === 0);
  assert.equal(outbox.refused(), 110);
  assert.equal((await readdir(directory)).length, 100);
});

for (const torn of ["", "1", '{"half', "\u0000\u0000\u0000"]) {
  test(`a torn file (${JSON.stringify(torn)}) is set aside and holds nothing up`, async () => {
    const before = await open(newReceiver(false));
    await before.put(1);
    await before.put(2);
    await before.close();
    const [name = ""] = (await readdir(directory)).sort();
    await writeFile(join(directory, name), torn);
    await writeFile(join(directory, "000000000009.aaaaaaaaaaaaaaaaaaaa.json.new"), "half");
    const receiver = newReceiver();
    const outbox = await open(receiver);
    await until(() => outbox.size() === 0);
    assert.deepEqual(messages(receiver), [2]);
    assert.equal(outbox.refused(), 1);
  });
}

test("a symlink in the place of a message is not followed", async () => {
  await writeFile(join(home, "secret"), "42\n");
  await mkdir(directory, { mode: 0o700 });
  await symlink(join(home, "secret"), join(directory, "000000000001.aaaaaaaaaaaaaaaaaaaa.json"));
  const receiver = newReceiver();
  const outbox = await open(receiver);
  await until(() => outbox.refused() === 1);
  assert.deepEqual(receiver.got, []);
});

test("a closed outbox takes nothing and says so", async () => {
  const outbox = await open(newReceiver());
  await outbox.close();
  await assert.rejects(outbox.put(1), { code: "OUTBOX_UNAVAILABLE" });
});

test("a message too large for any receiver is refused at once", async () => {
  const outbox = await openOutbox<string>({
    directory,
    clock: systemClock,
    log: () => {},
    deliver: async () => "delivered",
  });
  await assert.rejects(outbox.put("x".repeat(200_000)), { code: "OUTBOX_MESSAGE" });
  await outbox.close();
});

const CHILD = `
import { openOutbox } from "${join(import.meta.dirname, "outbox.ts")}";
const [directory, mode] = process.argv.slice(1);
const outbox = await openOutbox({ directory, log: () => {}, clock: { nowMs: () => 0, monotonicMs: () => 0 },
  deliver: async () => { throw new Error("down"); } });
const say = (text) => process.stdout.write(text + "\\n");
for (let message = 0; ; message += 1) {
  try { await outbox.put(mode === "full" ? "x".repeat(60_000) : message); say(String(message)); }
  catch (error) { say(error.code); await outbox.close(); break; }
}`;

test("a disk that is full is named, and nothing half written is left", () => {
  // A file size limit stands in for a full disk: less than one message.
  const argv = ["-c", 'ulimit -f 32; exec "$@"', "sh", process.execPath, "--input-type=module", "-e", CHILD, directory, "full"];
  assert.equal(execFileSync("sh", argv, { encoding: "utf8" }).trim(), "OUTBOX_UNAVAILABLE");
  assert.deepEqual(execFileSync("ls", [directory], { encoding: "utf8" }), "");
});

test("killed at random points, it loses no message that it confirmed", async () => {
  for (let round = 0; round < 5; round += 1) {
    const child = spawn(process.execPath, ["--input-type=module", "-e", CHILD, directory, "kill"], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let said = "";
    child.stdout.on("data", (chunk: Buffer) => {
      said += chunk.toString();
      if (said.split("\n").length > 5 + round * 7) child.kill("SIGKILL");
    });
    await once(child, "close");
    const confirmed = said.split("\n").filter((line) => line !== "").length;
    const receiver = newReceiver();
    const outbox = await open(receiver);
    await until(() => outbox.size() === 0);
    await outbox.close();
    assert.equal(outbox.refused(), 0);
    assert.ok(confirmed > 0 && receiver.got.length >= confirmed);
    assert.deepEqual(messages(receiver), count(receiver.got.length));
  }
});
