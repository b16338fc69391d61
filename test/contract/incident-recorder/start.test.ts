import { chmod, cp, link, mkdir, readdir, readFile, rename, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createHome, type Home, refusedStart, type Service, startRecorder, until } from "./recorder.ts";

let home: Home;
let services: Service[];
beforeEach(async () => {
  home = await createHome();
  services = [];
});
afterEach(async () => {
  for (const service of services) await service.end("SIGKILL");
  await home.remove();
});
async function start(options: Parameters<typeof startRecorder>[1] = {}): Promise<Service> {
  const service = await startRecorder(home, options);
  services.push(service);
  return service;
}

const journal = async (): Promise<string> => {
  const name = (await readdir(home.storePath)).find((each) => each.startsWith("journal-"));
  return join(home.storePath, name ?? "");
};
const edit = async (path: string, change: (text: string) => string): Promise<void> =>
  writeFile(path, change(await readFile(path, "latin1")), "latin1");
const lines = (change: (all: string[]) => string[]) => async (): Promise<void> =>
  edit(await journal(), (text) =>
    change(text.trimEnd().split("\n"))
      .map((line) => `${line}\n`)
      .join(""),
  );

async function replaceByLink(path: string): Promise<void> {
  await rename(path, join(home.path, "elsewhere"));
  await symlink(join(home.path, "elsewhere"), path);
}

const tampering: readonly { readonly name: string; readonly code: string; readonly attack: () => Promise<unknown> }[] = [
  {
    name: "an edited incident",
    code: "STORE_MAC",
    attack: async () => edit(await journal(), (text) => text.replace('"latched":true', '"latched":false')),
  },
  { name: "a removed first record", code: "STORE_BROKEN", attack: lines((all) => all.slice(1)) },
  { name: "a removed record in the middle", code: "STORE_BROKEN", attack: lines((all) => all.toSpliced(1, 1)) },
  { name: "two records exchanged", code: "STORE_BROKEN", attack: lines(([a = "", b = "", ...rest]) => [b, a, ...rest]) },
  { name: "the last record cut off", code: "STORE_TRUNCATED", attack: lines((all) => all.slice(0, -1)) },
  {
    name: "half of the last record cut off",
    code: "STORE_MAC",
    attack: lines((all) => [...all.slice(0, -1), (all.at(-1) ?? "").slice(0, 40)]),
  },
  { name: "an emptied journal", code: "STORE_TRUNCATED", attack: async () => truncate(await journal(), 0) },
  { name: "a removed journal", code: "STORE_MISSING", attack: async () => rm(await journal()) },
  { name: "a removed anchor", code: "STORE_MISSING", attack: async () => rm(home.storeAnchor) },
  {
    name: "a removed store with its anchor",
    code: "STORE_MISSING",
    attack: async () => {
      await rm(home.storePath, { recursive: true });
      await rm(home.storeAnchor);
    },
  },
  { name: "a foreign anchor", code: "STORE_MAC", attack: async () => writeFile(home.storeAnchor, Buffer.alloc(8192)) },
  {
    name: "the audit log's anchor as the store's",
    code: "STORE_MAC",
    attack: async () => cp(home.auditAnchor, home.storeAnchor),
  },
  {
    name: "a removed audit log",
    code: "AUDIT_MISSING",
    attack: async () => {
      await rm(home.auditPath);
      await rm(home.auditAnchor);
    },
  },
  {
    name: "an edited audit log",
    code: "AUDIT_MAC",
    attack: async () => edit(home.auditPath, (text) => text.replace("integrity-monitor", "integrity-nonitor")),
  },
  {
    name: "a link in the place of the store",
    code: "STORE_DIRECTORY",
    attack: async () => {
      await rename(home.storePath, join(home.path, "elsewhere"));
      await symlink(join(home.path, "elsewhere"), home.storePath);
    },
  },
  {
    name: "a link in the place of the journal",
    code: "STORE_FILE",
    attack: async () => replaceByLink(await journal()),
  },
  {
    name: "a link to nothing in the place of the journal",
    code: "STORE_FILE",
    attack: async () => {
      const path = await journal();
      await rm(path);
      await symlink(join(home.path, "nothing"), path);
    },
  },
  {
    name: "a link in the place of a snapshot",
    code: "STORE_FILE",
    attack: () => symlink(home.auditPath, join(home.storePath, "snapshot.jsonl")),
  },
  {
    name: "a journal with a second name",
    code: "STORE_FILE",
    attack: async () => link(await journal(), join(home.path, "second")),
  },
  { name: "a journal that others can read", code: "STORE_FILE", attack: async () => chmod(await journal(), 0o644) },
  { name: "a link in the place of the store's anchor", code: "FILE_UNREADABLE", attack: () => replaceByLink(home.storeAnchor) },
  { name: "a link in the place of the audit log", code: "FILE_UNREADABLE", attack: () => replaceByLink(home.auditPath) },
];

describe.each(tampering)("$name", ({ code, attack }) => {
  test(`is refused by name: ${code}`, async () => {
    const service = await start();
    for (const description of ["a", "b", "c"]) await service.report({ source: "integrity-monitor", description });
    // Ended in order, so that the last record is one that its anchor vouches for.
    await service.end("SIGTERM");
    await attack();
    const refusal = await refusedStart(home);
    expect([refusal.status, refusal.code]).toEqual([code === "FILE_UNREADABLE" ? 2 : 1, code]);
  });
});

test("a torn tail is cut off and said so, and nothing answered is lost", async () => {
  const service = await start();
  const { json } = await service.report({ source: "airlock", class: "forbidden_airlock_request" });
  await service.end("SIGKILL");
  await edit(await journal(), (text) => `${text}{"data":{"id":"INC-`);
  const next = await start();
  expect((await next.get(String(json.id))).id).toBe(json.id);
  const repaired = (await home.auditRecords()).find(({ type }) => type === "store_repaired");
  expect(repaired?.data).toEqual({ bytes: 19 });
});

describe("a store that was folded into a snapshot", () => {
  let old: string;
  async function fold(): Promise<void> {
    old = join(home.path, "old");
    const service = await start();
    const text = "x".repeat(4000);
    const evidence = Object.fromEntries(Array.from({ length: 12 }, (_, index) => [`part_${index}`, text]));
    for (let index = 0; index < 24; index += 1) {
      await service.report({ source: "airlock", class: "policy_bypass_attempt", description: `${index}`, evidence });
      if (index === 2) await cp(home.storePath, old, { recursive: true });
    }
    for (let index = 0; index < 25; index += 1)
      await service.report({ source: "agent", class: "policy_bypass_attempt", description: `${index}`, evidence });
    await until(async () => (await readdir(home.storePath)).includes("snapshot.jsonl"));
    await service.report({ source: "airlock", class: "forbidden_airlock_request", description: "after" });
    await service.end("SIGKILL");
  }

  test("comes back whole", async () => {
    await fold();
    const incidents = await (await start()).incidents();
    expect(incidents).toHaveLength(50);
    expect(incidents.filter(({ evidence }) => evidence.evidence_left_out === true).length).toBeGreaterThan(0);
  });
  test("is refused without its snapshot", async () => {
    await fold();
    await rm(join(home.storePath, "snapshot.jsonl"));
    expect((await refusedStart(home)).code).toBe("STORE_MISSING");
  });
  test("is refused with an edited snapshot", async () => {
    await fold();
    await edit(join(home.storePath, "snapshot.jsonl"), (text) => text.replace('"description":"1"', '"description":"2"'));
    expect((await refusedStart(home)).code).toBe("STORE_MAC");
  });
  test("is refused with a snapshot that ends early", async () => {
    await fold();
    await edit(join(home.storePath, "snapshot.jsonl"), (text) =>
      text
        .trimEnd()
        .split("\n")
        .slice(0, -1)
        .map((line) => `${line}\n`)
        .join(""),
    );
    expect((await refusedStart(home)).code).toBe("STORE_TRUNCATED");
  });
  test("is refused with an older journal in its place", async () => {
    await fold();
    await rm(home.storePath, { recursive: true });
    await mkdir(home.storePath, { mode: 0o700 });
    await cp(old, home.storePath, { recursive: true });
    expect(["STORE_MISSING", "STORE_TRUNCATED"]).toContain((await refusedStart(home)).code);
  });
  test("is refused with a genuine snapshot of another time", async () => {
    await fold();
    const first = join(home.path, "first.jsonl");
    await cp(join(home.storePath, "snapshot.jsonl"), first);
    const service = await start();
    for (let index = 0; index < 9000; index += 64)
      await Promise.all(
        Array.from({ length: 64 }, () =>
          service.report({ source: "airlock", class: "forbidden_airlock_request", description: "again" }),
        ),
      );
    await service.end("SIGKILL");
    expect(await readFile(first, "latin1")).not.toBe(await readFile(join(home.storePath, "snapshot.jsonl"), "latin1"));
    await cp(first, join(home.storePath, "snapshot.jsonl"));
    expect((await refusedStart(home)).code).toBe("STORE_REPLACED");
  });
});

const unready: readonly {
  readonly name: string;
  readonly code: string;
  readonly status: number;
  readonly prepare: () => Promise<unknown>;
}[] = [
  { name: "no containment policy", code: "FILE_UNREADABLE", status: 2, prepare: () => rm(home.policyPath) },
  {
    name: "an empty containment policy",
    code: "CONFIG_SCHEMA",
    status: 2,
    prepare: () => writeFile(home.policyPath, "version: 1\n"),
  },
  {
    name: "a weakened latch",
    code: "CONTAINMENT_POLICY",
    status: 2,
    prepare: () => edit(home.policyPath, (text) => text.replace("latched: true", "latched: false")),
  },
  {
    name: "a missing credential",
    code: "CREDENTIAL_MISSING",
    status: 2,
    prepare: () => rm(join(home.path, "credentials/incident-read.token")),
  },
  {
    name: "one credential for two scopes",
    code: "CREDENTIAL_SHARED",
    status: 1,
    prepare: () => cp(join(home.path, "credentials/incident-read.token"), join(home.path, "credentials/incident-operator.token")),
  },
  {
    name: "no public key of the attestor",
    code: "FILE_UNREADABLE",
    status: 2,
    prepare: () => rm(join(home.path, "credentials/runtime-attestor-signing.pub")),
  },
  {
    name: "an airlock on another machine",
    code: "ADDRESS_NOT_LOCAL",
    status: 2,
    prepare: async () => Object.assign(home.env, { AIRLOCK_URL: "http://192.0.2.1:80" }),
  },
];
test.each(unready)("it does not start with $name", async ({ code, status, prepare }) => {
  await prepare();
  const refusal = await refusedStart(home);
  expect([refusal.status, refusal.code]).toEqual([status, code]);
});

test("a reload takes a policy whole or not at all, and is on record", async () => {
  const service = await start();
  const before = (await service.call("read", "/api/v1/stats")).json.policy_digest;
  await edit(home.policyPath, (text) => text.replace("actions: [quarantine_model, freeze_agent]", "actions: [freeze_agent]"));
  expect((await service.call("operator", "/api/v1/reload")).json.code).toBe("CONTAINMENT_RELOAD_FAILED");
  await rm(home.policyPath);
  expect((await service.call("operator", "/api/v1/reload")).json.code).toBe("CONTAINMENT_RELOAD_FAILED");
  expect((await service.call("read", "/api/v1/stats")).json.policy_digest).toBe(before);
  await cp("image/common/etc/secure-ai/policy/incident-containment.yaml", home.policyPath);
  await edit(home.policyPath, (text) => `${text}# changed\n`);
  expect((await service.call("operator", "/api/v1/reload")).json.policy_digest).not.toBe(before);
  const types = (await home.auditRecords()).map(({ type }) => type);
  expect(types.filter((type) => type.startsWith("policy_"))).toEqual(["policy_refused", "policy_refused", "policy_replaced"]);
});
