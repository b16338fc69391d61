import { readdir, readFile, writeFile } from "node:fs/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Bench, createBench, PASSPHRASE } from "./bench.ts";

const ID = "INC-20260101-000000-0001";
let bench: Bench;
beforeEach(async () => {
  bench = await createBench(false);
});
afterEach(() => bench.remove());

describe("unlock", () => {
  const unlock = (input = PASSPHRASE) => bench.control(["unlock"], input);
  test("is refused while an incident keeps the vault closed", async () => {
    await writeFile(bench.path(`latches/${ID}`), "");
    const { status, err } = await unlock();
    expect([status, err.includes("VAULT_LATCHED"), err.includes(ID)]).toEqual([1, true, true]);
    expect(await bench.commands()).toEqual([]);
  });
  test("is refused without a vault", async () => {
    await bench.remove();
    bench = await createBench("none");
    const { status, err } = await unlock();
    expect([status, err.includes("VAULT_SETUP_REQUIRED")]).toEqual([3, true]);
  });
  for (const [name, input] of [
    ["none", ""],
    ["a short one", "short"],
    ["a line break in it", "correct horse\nbattery staple"],
    ["a very long one", "x".repeat(4097)],
  ] as const)
    test(`is refused with ${name}`, async () => {
      const { status, err } = await unlock(input);
      expect([status, err.includes("VAULT_PASSPHRASE")]).toEqual([2, true]);
    });
  test("with the wrong passphrase leaves the vault closed", async () => {
    const { status, err } = await unlock("wrong horse battery");
    expect([status, err.includes("VAULT_WRONG_PASSPHRASE")]).toEqual([1, true]);
    expect(await bench.isClosed()).toBe(true);
  });
  test("a mount that fails, or one with other options, leaves the vault closed", async () => {
    await bench.instead("mount", "exit 32");
    expect((await unlock()).err).toContain("VAULT_COMMAND");
    expect(await bench.isClosed()).toBe(true);
    await bench.instead(
      "mount",
      `{ cat $KERNEL/proc/self/mountinfo; echo "40 1 253:0 / $MOUNT rw - ext4 /dev/mapper/secure-ai-vault rw"; } > $KERNEL/proc/new; mv $KERNEL/proc/new $KERNEL/proc/self/mountinfo; exit 0`,
    );
    expect((await unlock()).err).toContain("VAULT_MOUNT_UNEXPECTED");
    expect(await bench.isClosed()).toBe(true);
  });
  test("a marker that was edited is refused", async () => {
    await writeFile(bench.path("marker"), (await readFile(bench.path("marker"), "utf8")).replace("schema", "scheme"));
    expect((await unlock()).err).toContain("VAULT_MARKER");
  });
  test("opens, mounts and starts the users in reverse order; the passphrase is in no argument", async () => {
    const { status, out, err } = await unlock(`${PASSPHRASE}\n`);
    expect([status, out], err).toEqual([0, "vault: unlocked\n"]);
    const commands = await bench.commands();
    expect(commands.filter((line) => line.startsWith("systemctl start"))).toEqual([
      "systemctl start -- second.service",
      "systemctl start -- first.service",
    ]);
    expect(commands.join("\n")).not.toContain(PASSPHRASE);
    expect(await bench.state()).toMatchObject({ state: "unlocked" });
    expect((await bench.control(["status"])).out).toBe("vault: unlocked\n");
    await bench.verify();
  });
});

test("lock closes what is open", async () => {
  await bench.control(["unlock"], PASSPHRASE);
  const { status, out } = await bench.control(["lock"]);
  expect([status, out]).toEqual([0, "vault: locked\n"]);
  expect(await bench.isClosed()).toBe(true);
  expect((await bench.control(["status"])).status).toBe(3);
});

describe("setup", () => {
  test("over a vault, or over a file, is refused", async () => {
    const over = await bench.control(["setup", "--file", bench.path("new"), "--mib", "64"], PASSPHRASE);
    expect(over.err).toContain("VAULT_EXISTS");
    await bench.remove();
    bench = await createBench("none");
    await writeFile(bench.path("new"), "precious");
    expect((await bench.control(["setup", "--file", bench.path("new"), "--mib", "64"], PASSPHRASE)).err).toContain(
      "VAULT_EXISTS",
    );
    expect(await readFile(bench.path("new"), "utf8")).toBe("precious");
  });
  test("that fails leaves nothing", async () => {
    await bench.remove();
    bench = await createBench("none");
    await bench.instead("mkfs.ext4", "exit 1");
    expect((await bench.control(["setup", "--file", bench.path("new"), "--mib", "64"], PASSPHRASE)).err).toContain(
      "VAULT_COMMAND",
    );
    expect(await bench.isClosed()).toBe(true);
    expect((await bench.control(["status"])).out).toBe("vault: setup_required\n");
    expect(await readdir(bench.folder)).not.toContain("new");
  });
  test("formats, makes a file system and the folders, and leaves the vault locked", async () => {
    await bench.remove();
    bench = await createBench("none");
    const { status, err } = await bench.control(["setup", "--file", bench.path("new"), "--mib", "64"], PASSPHRASE);
    expect(status, err).toBe(0);
    expect(await readdir(bench.path("mount"))).toEqual(["contained-models", "models", "outputs", "user_docs"]);
    expect((await bench.control(["status"])).out).toBe("vault: locked\n");
    const commands = await bench.commands();
    expect(commands.find((line) => line.startsWith("cryptsetup luksFormat"))).toContain("--pbkdf argon2id");
    // A volume in a file needs the loop driver, which nothing else loads here.
    expect(commands.indexOf("modprobe -- loop")).toBeLessThan(commands.findIndex((line) => line.startsWith("cryptsetup open")));
    expect(commands).toContain("modprobe -- loop");
  });
});

describe("wrong use", () => {
  for (const args of [
    ["open"],
    ["lock", "now"],
    ["--force"],
    ["setup"],
    ["setup", "--file", "relative", "--mib", "64"],
    ["setup", "--file", "/x", "--mib", "1"],
    ["unlock", "--passphrase", "x"],
  ])
    test(args.join(" "), async () => {
      const { status, err } = await bench.control(args, PASSPHRASE);
      expect([status, err.includes("VAULT_USAGE")]).toEqual([2, true]);
    });
  test("nothing at all shows the help", async () => expect((await bench.control([])).status).toBe(2));
});
