import { chmod, chown, link, mkdir, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { VAULT_REQUESTS } from "@secai/kit/api/containment";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Bench, createBench, execute } from "./bench.ts";

const ID = "INC-20260101-000000-0001";
const relock = { action: "relock", incident_id: ID, reason: "integrity_violation" };
const release = { ...relock, action: "release" };

let bench: Bench;
beforeEach(async () => {
  bench = await createBench(true);
});
afterEach(() => bench.remove());

describe("relock", () => {
  test("stops the users in order, syncs, unmounts, closes, latches, answers, forgets the request", async () => {
    await bench.request(`${ID}.json`, relock);
    expect((await bench.broker()).status).toBe(0);
    expect(await bench.result(ID)).toEqual({ success: true, incident_id: ID });
    expect(await bench.isClosed()).toBe(true);
    expect(await bench.commands()).toEqual([
      "systemctl stop -- first.service",
      "systemctl stop -- second.service",
      `sync -f -- ${bench.path("mount")}`,
      `umount -- ${bench.path("mount")}`,
      "cryptsetup close -- secure-ai-vault",
    ]);
    expect(await readdir(bench.path("latches"))).toEqual([ID]);
    expect(await bench.state()).toMatchObject({ state: "locked", detail: `incident_containment:${ID}` });
    expect([await readdir(bench.path("requests")), await readdir(bench.path("processing"))]).toEqual([[], [".lock"]]);
    const { mode, gid } = await stat(bench.path(`results/${ID}.json`));
    expect([mode & 0o7777, gid]).toEqual([0o640, 718]);
    expect((await stat(bench.path("run/vault-state"))).gid).toBe(700);
    expect((await bench.records()).map(({ type }) => type)).toEqual(["created", "relock_begun", "relock"]);
    await bench.verify();
  });

  test("a vault that was never set up: success, and the state says so", async () => {
    await bench.remove();
    bench = await createBench("none");
    await bench.request(`${ID}.json`, relock);
    await bench.broker();
    expect(await bench.result(ID)).toEqual({ success: true, incident_id: ID });
    expect(await bench.state()).toMatchObject({ state: "setup_required" });
    expect(await bench.commands()).toEqual([]);
    expect(await readdir(bench.path("latches"))).toEqual([ID]);
  });

  test("twice is once", async () => {
    await bench.request(`${ID}.json`, relock);
    await bench.broker();
    await bench.request(`${ID}.json`, relock);
    await bench.broker();
    expect(await bench.result(ID)).toMatchObject({ success: true });
  });

  const failures = [
    { name: "a busy file system", program: "umount", line: "echo 'target is busy' >&2; exit 32", code: "VAULT_BUSY" },
    { name: "an umount in another mount namespace", program: "umount", line: "exit 0", code: "VAULT_STILL_MOUNTED" },
    { name: "a mapping that does not close", program: "cryptsetup", line: "exit 5", code: "VAULT_COMMAND" },
    { name: "a close that only says so", program: "cryptsetup", line: "exit 0", code: "VAULT_STILL_OPEN" },
  ];
  for (const { name, program, line, code } of failures)
    test(`${name} is no success: ${code}`, async () => {
      await bench.instead(program, line);
      await bench.request(`${ID}.json`, relock);
      await bench.broker();
      const result = await bench.result(ID);
      expect(result?.success).toBe(false);
      expect(result?.error).toMatch(new RegExp(`^${code}: `));
      expect(await bench.state()).toMatchObject({ state: "error" });
      expect(await readdir(bench.path("latches"))).toEqual([ID]);
      // The next try, with the hindrance gone, succeeds.
      await rm(bench.path(`instead/${program}`));
      await bench.request(`${ID}.json`, relock);
      await bench.broker();
      expect(await bench.result(ID)).toEqual({ success: true, incident_id: ID });
      expect(await bench.isClosed()).toBe(true);
    });

  test("a user that does not stop, and a sync that fails, keep nothing open", async () => {
    await bench.instead("systemctl", "exit 1");
    await bench.instead("sync", "exit 1");
    await bench.request(`${ID}.json`, relock);
    await bench.broker();
    expect(await bench.result(ID)).toMatchObject({ success: true });
    expect((await bench.records()).at(-1)?.data).toMatchObject({ unstopped: ["first.service", "second.service"] });
  });

  test("mounts upon each other all go", async () => {
    await execute(["/bin/sh", "-c", "mount-it"], { PATH: `${bench.path("bin")}:/usr/bin:/bin` });
    await bench.instead(
      "umount",
      "sed '$d' $KERNEL/proc/self/mountinfo > $KERNEL/proc/new; mv $KERNEL/proc/new $KERNEL/proc/self/mountinfo; exit 0",
    );
    await bench.request(`${ID}.json`, relock);
    await bench.broker();
    expect(await bench.result(ID)).toMatchObject({ success: true });
    expect((await bench.commands()).filter((line) => line.startsWith("umount"))).toHaveLength(2);
  });

  test("a broken record keeps nothing open, and the answer says that it is broken", async () => {
    await bench.request(`${ID}.json`, relock);
    await bench.broker();
    await execute(["/bin/sh", "-c", "cryptsetup-open; mount-it"], { PATH: `${bench.path("bin")}:/usr/bin:/bin` });
    await writeFile(bench.path("audit/vault-audit.jsonl"), "");
    await bench.request(`${ID}.json`, relock);
    await bench.broker();
    const result = await bench.result(ID);
    expect(result?.success).toBe(true);
    expect(result?.error).toMatch(/^AUDIT_/);
    expect(await bench.isClosed()).toBe(true);
  });

  test("without a place for the latch it is closed, but no success", async () => {
    await rm(bench.path("latches"), { recursive: true });
    await writeFile(bench.path("latches"), "");
    await bench.request(`${ID}.json`, relock);
    await bench.broker();
    expect((await bench.result(ID))?.success).toBe(false);
    expect(await bench.isClosed()).toBe(true);
  });
});

describe("release", () => {
  test("lifts the latch of its incident and opens nothing", async () => {
    const other = "INC-20260101-000000-0002";
    await bench.request(`${ID}.json`, relock);
    await bench.request(`${other}.json`, { ...relock, incident_id: other });
    await bench.broker();
    expect(await readdir(bench.path("latches"))).toEqual([ID, other]);
    await bench.request(`${ID}.json`, release);
    await bench.broker();
    expect(await readdir(bench.path("latches"))).toEqual([other]);
    expect(await bench.isClosed()).toBe(true);
  });
  test("needs its record", async () => {
    await bench.request(`${ID}.json`, relock);
    await bench.broker();
    await writeFile(bench.path("audit/vault-audit.jsonl"), "");
    await bench.request(`${ID}.json`, release);
    await bench.broker();
    expect(await bench.result(ID)).toMatchObject({ success: false });
    expect(await readdir(bench.path("latches"))).toEqual([ID]);
  });
});

describe("requests that are none", () => {
  const good = JSON.stringify(relock);
  const at = (name: string) => bench.path(`requests/${name}`);
  const bad: readonly { name: string; code: string; file?: string; do: () => Promise<unknown> }[] = [
    {
      name: "too large",
      code: "VAULT_REQUEST_SIZE",
      do: () => writeFile(at(`${ID}.json`), good + " ".repeat(4096), { mode: 0o640 }),
    },
    { name: "empty", code: "VAULT_REQUEST_SIZE", do: () => writeFile(at(`${ID}.json`), "", { mode: 0o640 }) },
    { name: "no JSON", code: "VAULT_REQUEST_MALFORMED", do: () => bench.request(`${ID}.json`, "relock") },
    {
      name: "a member twice",
      code: "VAULT_REQUEST_MALFORMED",
      do: () => bench.request(`${ID}.json`, `{"reason":"x",${good.slice(1)}`),
    },
    {
      name: "an unknown member",
      code: "VAULT_REQUEST_MALFORMED",
      do: () => bench.request(`${ID}.json`, { ...relock, command: "id" }),
    },
    {
      name: "another action",
      code: "VAULT_REQUEST_MALFORMED",
      do: () => bench.request(`${ID}.json`, { ...relock, action: "unlock" }),
    },
    {
      name: "another incident than its name",
      code: "VAULT_REQUEST_ID",
      do: () => bench.request(`${ID}.json`, { ...relock, incident_id: "INC-2" }),
    },
    {
      name: "a symbolic link",
      code: "VAULT_REQUEST_KIND",
      do: async () => {
        await writeFile(bench.path("elsewhere"), good, { mode: 0o640 });
        await symlink(bench.path("elsewhere"), at(`${ID}.json`));
      },
    },
    {
      name: "a hard link",
      code: "VAULT_REQUEST_KIND",
      do: async () => {
        await writeFile(bench.path("elsewhere"), good, { mode: 0o640 });
        await link(bench.path("elsewhere"), at(`${ID}.json`));
      },
    },
    { name: "a folder", code: "VAULT_REQUEST_KIND", do: () => mkdir(at(`${ID}.json/x/y`), { recursive: true }) },
    { name: "a FIFO", code: "VAULT_REQUEST_KIND", do: () => execute(["mkfifo", at(`${ID}.json`)], {}) },
    {
      name: "writable for everybody",
      code: "VAULT_REQUEST_MODE",
      do: async () => {
        await bench.request(`${ID}.json`, relock);
        await chmod(at(`${ID}.json`), 0o666);
      },
    },
    { name: "without its ending", code: "VAULT_REQUEST_NAME", file: ID, do: () => bench.request(ID, relock) },
    {
      name: "with a space in its name",
      code: "VAULT_REQUEST_NAME",
      file: "a b.json",
      do: () => bench.request("a b.json", relock),
    },
    {
      name: "a name that never becomes a request's",
      code: "VAULT_REQUEST_NAME",
      file: `${ID}.json.new`,
      do: () => bench.request(`${ID}.json.new`, relock),
    },
  ];
  for (const row of bad)
    test(`${row.name}: ${row.code}, nothing is done, nothing is left`, async () => {
      await row.do();
      expect((await bench.broker()).status).toBe(0);
      expect((await bench.records()).at(-1)).toMatchObject({ type: "request_refused", data: { code: row.code } });
      expect(await bench.result(ID)).toEqual(
        row.file === undefined ? { success: false, incident_id: ID, error: row.code } : undefined,
      );
      expect(await bench.isClosed()).toBe(false);
      expect(await bench.commands()).toEqual([]);
      expect([await readdir(bench.path("requests")), await readdir(bench.path("processing"))]).toEqual([[], [".lock"]]);
    });

  test("a bad one does not keep a good one from being done", async () => {
    await bench.request("AAA.json", "{}");
    await bench.request(`${ID}.json`, relock);
    await bench.request("zzz", "");
    await bench.broker();
    expect(await bench.result(ID)).toMatchObject({ success: true });
    expect(await bench.result("AAA")).toMatchObject({ success: false, error: "VAULT_REQUEST_MALFORMED" });
  });
  test("a request that is still being written is waited for", async () => {
    await bench.request(`${ID}.json.new`, relock);
    const running = bench.broker();
    setTimeout(() => void execute(["mv", bench.path(`requests/${ID}.json.new`), bench.path(`requests/${ID}.json`)], {}), 700);
    await running;
    expect(await bench.result(ID)).toMatchObject({ success: true });
  });
});

describe("killed at any point", () => {
  test("the next start finishes, and the chain holds", async () => {
    for (const program of ["systemctl", "sync", "umount", "cryptsetup"]) await bench.instead(program, "sleep 0.03");
    // How long one takes that is left alone: kills fall anywhere in it, on a fast machine and on a slow one.
    await bench.request("first.json", { ...relock, incident_id: "first" });
    const begun = performance.now();
    await bench.broker();
    const wholeMs = performance.now() - begun;
    let kills = 0;
    // Until enough of them fell into its work: one that takes less long than the first did ends before many a kill.
    for (let round = 0; round < 12 || (kills <= 12 && round < 40); round += 1) {
      const id = `INC-20260101-000000-${String(round).padStart(4, "0")}`;
      if (await bench.isClosed())
        await execute(["/bin/sh", "-c", "cryptsetup-open; mount-it"], { PATH: `${bench.path("bin")}:/usr/bin:/bin` });
      await bench.request(`${id}.json`, { ...relock, incident_id: id });
      for (let attempt = 0; attempt < 6; attempt += 1) {
        const { status } = await bench.broker({ killAfterMs: Math.random() * wholeMs });
        if (status === null) kills += 1;
        else break;
      }
      const last = await bench.broker();
      expect(last.status, last.err).toBe(0);
      expect(await bench.result(id)).toEqual({ success: true, incident_id: id });
      expect(await readdir(bench.path("latches"))).toContain(id);
      expect(await bench.isClosed()).toBe(true);
      expect([await readdir(bench.path("requests")), await readdir(bench.path("processing"))]).toEqual([[], [".lock"]]);
    }
    expect(kills).toBeGreaterThan(12);
    await bench.verify();
  });
});

describe("the real kernel's mounts", () => {
  // What the vault holds is a tmpfs here: this machine may have no device mapper. unmount, sync and mountinfo are the real ones.
  const real = { VAULT_MACHINE_ROOT: "/" };
  const namespace = (line: string) => ["unshare", "--mount", "--propagation", "private", "/bin/sh", "-c", line, "sh"];
  beforeEach(async () => {
    for (const program of ["umount", "sync", "mount"]) await rm(bench.path(`bin/${program}`));
    await bench.request(`${ID}.json`, relock);
  });
  test("are gone afterwards", async () => {
    const line = `mount -t tmpfs none ${bench.path("mount")} && "$@"; ! grep -q ${bench.path("mount")} /proc/self/mountinfo`;
    const ended = await bench.broker({ env: real, prefix: namespace(line) });
    expect(ended.status, ended.err).toBe(0);
    expect(await bench.result(ID)).toEqual({ success: true, incident_id: ID });
  });
  test("stay, and are named, while somebody works in them", async () => {
    const line = `mount -t tmpfs none ${bench.path("mount")} && (cd ${bench.path("mount")} && exec sleep 60) & sleep 0.5; "$@"; s=$?; kill %1 2>/dev/null; exit $s`;
    await bench.broker({ env: real, prefix: namespace(line) });
    expect(await bench.result(ID)).toMatchObject({ success: false, error: expect.stringMatching(/^VAULT_BUSY: /) as string });
  });
});

test("three capabilities are enough, also for requests of a user without a name", async () => {
  await bench.request(`${ID}.json`, relock);
  await chown(bench.path(`requests/${ID}.json`), 61_190, 718);
  await chmod(bench.path(`requests/${ID}.json`), 0o600);
  await chown(bench.path("requests"), 0, 718);
  await chmod(bench.path("requests"), 0o2770);
  const few = "-all,+sys_admin,+chown,+dac_override";
  const ended = await bench.broker({ prefix: ["setpriv", "--bounding-set", few, "--inh-caps", "-all", "--no-new-privs"] });
  expect(ended.status, ended.err).toBe(0);
  expect(await bench.result(ID)).toEqual({ success: true, incident_id: ID });
  expect((await stat(bench.path(`results/${ID}.json`))).gid).toBe(718);
});

describe("no start", () => {
  test("without sealed settings", async () => {
    const { status, err } = await bench.broker({ env: { VAULT_SETTINGS_PATH: "/nonexistent" } });
    expect([status, err.includes("VAULT_SETTINGS")]).toEqual([1, true]);
  });
  test("with settings that name another kind of unit", async () => {
    await writeFile(
      bench.path("settings.json"),
      (await readFile(bench.path("settings.json"), "utf8")).replace("first.service", "--now"),
    );
    expect((await bench.broker()).err).toContain("VAULT_SETTINGS");
  });
  test("the shipped settings are accepted", async () => {
    const ended = await bench.broker({ env: { VAULT_SETTINGS_PATH: "image/common/usr/lib/secure-ai/vault-control.json" } });
    expect(ended.status, ended.err).toBe(0);
  });
});

test("requests lie where the contract says", () => expect(VAULT_REQUESTS).toBe("/run/secure-ai/vault-control/requests"));
