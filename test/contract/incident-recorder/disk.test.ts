import { cp, open, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createHome, type Home, type Service, startRecorder, until } from "./recorder.ts";

let home: Home;
let service: Service;
/** The recorder's process. */
let inside: number;
/** The recorder's state as it sees it: a disk of its own, which goes with its last process. */
let state: string;
beforeEach(async () => {
  home = await createHome();
  const disk = ["--size", String(2 << 20), "--tmpfs", join(home.path, "state")];
  service = await startRecorder(home, { prefix: ["bwrap", "--dev-bind", "/", "/", ...disk, "--die-with-parent", "--"] });
  inside = await childOf(service.pid);
  state = join("/proc", String(inside), "root", home.path, "state");
});
afterEach(async () => {
  await service.end("SIGKILL");
  await home.remove();
});

/** bubblewrap stays outside; its child is inside. */
async function childOf(pid: number): Promise<number> {
  const [child] = (await readFile(`/proc/${pid}/task/${pid}/children`, "latin1")).trim().split(" ");
  if (child === undefined || child === "") throw new Error(`no child of ${pid}`);
  return Number(child);
}

const report = (index: number) =>
  service.report({
    source: index % 2 === 0 ? "airlock" : "tool-firewall",
    class: "policy_bypass_attempt",
    evidence: { text: "x".repeat(3000) },
  });

/** Reports until one is refused; the names of those that were not. */
async function reportUntilRefused(): Promise<{
  readonly accepted: readonly string[];
  readonly status: number;
  readonly code: unknown;
}> {
  const accepted: string[] = [];
  for (let index = 0; index < 400; index += 1) {
    const { status, json } = await report(index);
    if (status !== 201) return { accepted, status, code: json.code };
    accepted.push(String(json.id));
  }
  throw new Error("the disk did not become full");
}

/** Page by page, because the recorder writes meanwhile, too. */
async function takeAllRoom(): Promise<string> {
  const path = join(state, "ballast");
  const file = await open(path, "w");
  try {
    for (;;) await file.write(Buffer.alloc(4096, 1));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
    return path;
  } finally {
    await file.close();
  }
}

async function expectKept(accepted: readonly string[]): Promise<void> {
  const ids = new Set((await service.incidents()).map(({ id }) => id));
  for (const id of accepted) expect(ids).toContain(id);
}

test("a full disk is named, nothing is accepted that could not be kept, and it goes on by itself when there is room again", async () => {
  const first = await report(0);
  const ballast = await takeAllRoom();
  const { accepted, status, code } = await reportUntilRefused();
  expect(status).toBe(503);
  expect(["STORE_UNAVAILABLE", "AUDIT_UNAVAILABLE"]).toContain(code);
  expect((await service.call(undefined, "/ready")).status).toBe(503);
  const health = await service.call(undefined, "/health");
  expect([health.status, health.json.status, health.json.writable]).toEqual([200, "degraded", false]);
  await expectKept([String(first.json.id), ...accepted]);

  await rm(ballast);
  await until(async () => (await service.call(undefined, "/ready")).status === 200);
  const later = await report(1);
  expect(later.status).toBe(201);
  expect((await service.call(undefined, "/health")).json.writable).toBe(true);
  const all = [String(first.json.id), ...accepted, String(later.json.id)];
  await expectKept(all);

  // What lies on the disk after that starts anew, both chains whole.
  process.kill(inside, "SIGSTOP");
  await cp(state, join(home.path, "state"), { recursive: true });
  await service.end("SIGKILL");
  service = await startRecorder(home);
  await expectKept(all);
  await home.verifyAudit();
});

test("a disk that is full again and again loses nothing that was answered for", async () => {
  const accepted: string[] = [];
  for (let round = 0; round < 4; round += 1) {
    const ballast = await takeAllRoom();
    accepted.push(...(await reportUntilRefused()).accepted);
    await rm(ballast);
    await until(async () => (await service.call(undefined, "/ready")).status === 200);
    const { status, json } = await report(round);
    expect(status).toBe(201);
    accepted.push(String(json.id));
  }
  await expectKept(accepted);
  expect(new Set(accepted).size).toBe(accepted.length);
});
