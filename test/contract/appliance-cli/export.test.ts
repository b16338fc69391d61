import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmod, lstat, mkdir, readdir, readFile, readlink, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { FORENSIC_DOMAIN } from "@secai/formats/forensic";
import { exampleForensic } from "@secai/formats/forensic.test-data";
import type { JsonValue } from "@secai/kit/digest";
import { createSigner } from "@secai/kit/signing";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { top } from "../../../scripts/house/tree.ts";
import { createHome, startRecorder } from "../incident-recorder/recorder.ts";
import { type Bench, createBench, secaiWith } from "./bench.ts";

// The recorder's signed bundle leaves the machine byte for byte, in a file that is there whole or not at all.

let bench: Bench;
let folder: string;
beforeEach(async () => {
  bench = await createBench();
  folder = bench.path("out");
  await mkdir(folder);
  recorderSays(bundle());
});
afterEach(() => bench.remove());

const at = (name: string): string => join(folder, name);
const recorderSays = (text: string): void => {
  bench.answers["incident-recorder GET /api/v1/forensic/export"] = { text };
};
function bundle(signer = bench.recorderSigner): string {
  const value = signer.sign(FORENSIC_DOMAIN, exampleForensic as unknown as JsonValue);
  return `${JSON.stringify({ ...exampleForensic, signature: { algorithm: "ed25519", key_id: signer.keyId, value } })}\n`;
}
const asks = () => bench.asked.filter(({ request }) => request.includes("forensic"));

describe("not in the place of something else", () => {
  test("a file that is there stays, and the recorder is not asked", async () => {
    await writeFile(at("f.json"), "mine");
    const { status, err } = await bench.secai(`incidents export ${at("f.json")}`);
    expect([status, err.includes("CLI_FILE_EXISTS"), err.includes("--force")]).toEqual([2, true, true]);
    expect([await readFile(at("f.json"), "utf8"), asks()]).toEqual(["mine", []]);
  });
  const others: readonly { readonly name: string; readonly put: () => Promise<unknown> }[] = [
    { name: "a link to nowhere", put: () => symlink("nowhere", at("f.json")) },
    { name: "a link to a file", put: () => symlink("/etc/hostname", at("f.json")) },
    { name: "a folder", put: () => mkdir(at("f.json")) },
  ];
  for (const { name, put } of others)
    test(`${name}, forced or not`, async () => {
      await put();
      const before = await lstat(at("f.json"));
      expect((await bench.secai(`incidents export ${at("f.json")}`)).err).toContain("CLI_FILE_EXISTS");
      const forced = await bench.secai(`incidents export ${at("f.json")} --force`);
      expect([forced.status, forced.err.includes("CLI_FILE_UNWRITABLE")]).toEqual([3, true]);
      expect([(await lstat(at("f.json"))).ino, await readdir(folder), asks()]).toEqual([before.ino, ["f.json"], []]);
      if (before.isSymbolicLink()) expect(["nowhere", "/etc/hostname"]).toContain(await readlink(at("f.json")));
    });
  test("a folder that is not there", async () => {
    const { status, err } = await bench.secai(`incidents export ${at("none/f.json")}`);
    expect([status, err.includes("CLI_FILE_UNWRITABLE"), asks()]).toEqual([3, true, []]);
  });
  test("a name below a file", async () => {
    await writeFile(at("file"), "");
    expect((await bench.secai(`incidents export ${at("file/f.json")}`)).err).toContain("CLI_FILE_UNWRITABLE");
  });
});

describe("nothing is written", () => {
  const nothing = async (code: string, status = 1): Promise<void> => {
    const ended = await bench.secai(`incidents export ${at("f.json")} --force`);
    expect([ended.status, ended.out]).toEqual([status, ""]);
    expect(ended.err).toMatch(new RegExp(`\\b${code}\\b.*\\n  next: .+\\n$`));
    expect(await readdir(folder)).toEqual([]);
  };
  test("of a bundle by another key", async () => {
    recorderSays(bundle(createSigner("1".repeat(64))));
    await nothing("FORENSIC_KEY");
  });
  test("of a bundle that was changed", async () => {
    recorderSays(bundle().replace('"severity":"critical"', '"severity":"low"'));
    await nothing("FORENSIC_SIGNATURE");
  });
  test("of a bundle in another spelling", async () => {
    recorderSays(JSON.stringify(JSON.parse(bundle()), undefined, 2));
    await nothing("FORENSIC_AMBIGUOUS");
  });
  test("of something else", async () => {
    recorderSays('{"schema":2}');
    await nothing("SCHEMA_MISMATCH");
  });
  test("of more than any bundle", async () => {
    recorderSays(bundle().padEnd((64 << 20) + 1));
    await nothing("PEER_ANSWER", 3);
  });
  test("when the recorder refuses", async () => {
    const json = { code: "FORENSIC_TOO_LARGE", message: "no", requestId: "x" };
    bench.answers["incident-recorder GET /api/v1/forensic/export"] = { status: 503, json };
    await nothing("FORENSIC_TOO_LARGE");
  });
  test("when the recorder is down", async () => {
    await bench.down("incident-recorder");
    await nothing("PEER_UNREACHABLE", 3);
  });
  test("without the recorder's public key, which is looked for first", async () => {
    await rm(bench.path("credentials/incident-recorder-signing.pub"));
    await nothing("FILE_UNREADABLE", 2);
    expect(asks()).toEqual([]);
  });
  test("that does not fit", async () => {
    const prefix = ["sh", "-c", 'ulimit -f 1; exec "$@"', "sh"];
    const { status, err } = await secaiWith(["incidents", "export", at("f.json")], bench.env, prefix);
    expect([status, err.includes("CLI_FILE_UNWRITABLE"), err.includes("EFBIG")]).toEqual([3, true, true]);
    expect(await readdir(folder)).toEqual([]);
  });
});

describe("written", () => {
  test("byte for byte, for root alone, with what to do next", async () => {
    const { status, out, err } = await bench.secai(`incidents export ${at("f.json")}`);
    expect([status, err]).toEqual([0, ""]);
    expect(await readFile(at("f.json"), "utf8")).toBe(bundle());
    expect((await lstat(at("f.json"))).mode & 0o7777).toBe(0o600);
    expect(await readdir(folder)).toEqual(["f.json"]);
    expect(asks()).toMatchObject([{ scope: "forensic" }]);
    expect(out).toContain(createHash("sha256").update(bundle()).digest("hex"));
    expect(out).toMatch(/^size +\d+ bytes$/m);
    expect(out).toMatch(/^incidents +1, 1 unresolved$/m);
    expect(out).toContain("secai verify forensic f.json --key incident-recorder-signing.pub");
  });
  test("in the place of another file, if that is what is asked", async () => {
    await writeFile(at("f.json"), "old");
    await chmod(at("f.json"), 0o644);
    expect((await bench.secai(`incidents export ${at("f.json")} --force --json`)).status).toBe(0);
    expect([await readFile(at("f.json"), "utf8"), (await lstat(at("f.json"))).mode & 0o7777]).toEqual([bundle(), 0o600]);
  });
  test("and said as JSON", async () => {
    const { out } = await bench.secai(`incidents export ${at("f.json")} --json`);
    expect(JSON.parse(out)).toMatchObject({ file: at("f.json"), bytes: bundle().length, incidents: 1, unresolved: 1 });
  });
});

test("what a running recorder exported is verified by the command outside", async () => {
  const home = await createHome();
  const recorder = await startRecorder(home);
  try {
    await writeFile(join(home.path, "credentials/incident-recorder-signing.pub"), home.publicKey);
    expect((await recorder.report({ source: "integrity-monitor", description: "a policy changed" })).status).toBe(201);
    const env = {
      SECAI_CREDENTIALS: join(home.path, "credentials"),
      SECAI_INCIDENT_RECORDER_ADDR: `127.0.0.1:${recorder.port}`,
    };
    const ended = await secaiWith(["incidents", "export", at("real.json"), "--json"], env);
    expect(ended.status, ended.err).toBe(0);
    const { next } = JSON.parse(ended.out) as { next: string };
    await writeFile(at("incident-recorder-signing.pub"), home.publicKey);
    const [, ...words] = next.split(" ");
    const outside = spawnSync(join(top, "scripts/secai"), words, { cwd: folder, encoding: "utf8", timeout: 60_000 });
    expect([outside.status, outside.stderr], outside.stdout).toEqual([0, ""]);
    expect(outside.stdout).toContain("ACCEPTED real.json");
  } finally {
    await recorder.end("SIGKILL");
    await home.remove();
  }
});
