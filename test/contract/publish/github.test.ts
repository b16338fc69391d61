import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { releaseOfDisk } from "../release/disk.ts";
import { makeKeys, makeRelease } from "../release/fixture.ts";
import { flip, namesIn, read } from "../release/forge.ts";
import { publisher } from "./command.ts";
import { type Call, type GithubServer, githubServer, TOKEN } from "./github-server.ts";

const { at, run, waits, dispose } = publisher();
afterAll(dispose);
let server: GithubServer;
const dir = at("release");
const TAG = "debian-13-0.1.0";
const DISK = "disk.raw.zst";

beforeAll(async () => {
  makeKeys(at("keys"));
  await makeRelease(dir, at("keys"), releaseOfDisk(Buffer.alloc(3 << 20, 7)));
});
beforeEach(async () => {
  server = await githubServer();
  waits.length = 0;
});
afterEach(() => server[Symbol.asyncDispose]());

const asked = (...more: readonly string[]) => [dir, "--to", "github:o/r", "--allow-dev", "--github-api", server.url, ...more];
const apply = (...more: readonly string[]) => run(asked("--apply", ...more));
const uploads = () => server.calls.filter(({ method, path }) => method === "POST" && path.startsWith("/upload/"));
const isUploadOf = (name: string, { method, path }: Call) => method === "POST" && path.endsWith(`?name=${name}`);
const deletions = () => server.calls.filter(({ method }) => method === "DELETE");

/** Every file of the release is an asset with its bytes, and there is no other. */
function expectWhole(): void {
  const [release, ...more] = server.releases;
  expect(more).toEqual([]);
  const names = namesIn(dir);
  expect(release?.assets.map(({ name }) => name).toSorted()).toEqual(names.map((name) => name.replaceAll("/", "__")).toSorted());
  for (const asset of release?.assets ?? []) {
    expect(asset.state).toBe("uploaded");
    expect(asset.content.equals(read(dir, asset.name.replaceAll("__", "/"))), asset.name).toBe(true);
  }
}

describe("before anything is sent", () => {
  test("a dry run lists names and sizes and makes no connection", async () => {
    const { exit, stdout } = await run(asked());
    expect(exit).toBe(0);
    expect(stdout).toContain("keys__release.pub");
    expect(stdout).toContain("Nothing was sent");
    expect(server.calls).toEqual([]);
  });

  const refused: readonly { readonly name: string; readonly args: () => readonly string[]; readonly code: string }[] = [
    { name: "no directory", args: () => ["--to", "github:o/r"], code: "PUBLISH_USAGE" },
    { name: "no target", args: () => [dir], code: "PUBLISH_USAGE" },
    { name: "a target of another kind", args: () => [dir, "--to", "s3:bucket"], code: "PUBLISH_USAGE" },
    { name: "an owner that is a path", args: () => [dir, "--to", "github:../r"], code: "PUBLISH_USAGE" },
    { name: "three parts", args: () => [dir, "--to", "github:o/r/x"], code: "PUBLISH_USAGE" },
    { name: "a token on the command line", args: () => asked("--token", TOKEN), code: "PUBLISH_USAGE" },
    {
      name: "a development release without saying so",
      args: () => [dir, "--to", "github:o/r", "--apply"],
      code: "PUBLISH_DEV_REFUSED",
    },
    { name: "a tampered release", args: () => [at("flipped"), ...asked("--apply").slice(1)], code: "GATE_REJECTED" },
    {
      name: "an API without encryption",
      args: () => asked("--apply", "--github-api", "http://github.example/"),
      code: "PUBLISH_USAGE",
    },
    {
      name: "a token descriptor that is not open",
      args: () => asked("--apply", "--token-fd", "999"),
      code: "PUBLISH_TOKEN_MISSING",
    },
  ];
  beforeAll(async () => {
    await makeRelease(at("flipped"), at("keys"));
    flip(at("flipped"), "uki.efi", 0);
  });
  test.each(refused)("$name is refused", async ({ args, code }) => {
    await expect(run(args())).rejects.toMatchObject({ code });
    expect(server.calls).toEqual([]);
  });

  test("no token, and one with a line break in it", async () => {
    await expect(run(asked("--apply"), { env: { GITHUB_TOKEN: "" } })).rejects.toMatchObject({ code: "PUBLISH_TOKEN_MISSING" });
    await expect(run(asked("--apply"), { env: { GITHUB_TOKEN: "a\r\nb" } })).rejects.toMatchObject({ code: "PUBLISH_USAGE" });
    expect(server.calls).toEqual([]);
  });
});

describe("uploading", () => {
  test("a draft gets every file; --publish makes it public at the very end", async () => {
    const { exit, stdout } = await apply("--json");
    expect(exit).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ applied: true, draft: true, present: [] });
    expectWhole();
    expect(server.releases[0]).toMatchObject({ tag_name: TAG, draft: true, prerelease: true });
    expect(uploads().at(-1)?.path).toContain("SHA256SUMS");

    expect((await apply("--publish")).exit).toBe(0);
    expect(server.calls.at(-1)?.method).toBe("PATCH");
    expect(server.releases[0]?.draft).toBe(false);
    expect(uploads()).toHaveLength(namesIn(dir).length);
    expect((await apply("--publish")).stdout).toContain("0 files written");
  });

  test("the draft is found on a later page, among other releases", async () => {
    for (let n = 0; n < 7; n += 1)
      server.releases.push({ id: 900 + n, tag_name: `old-${n}`, draft: false, prerelease: false, body: "", assets: [] });
    await apply();
    expect(server.releases).toHaveLength(8);
    await apply();
    expect(server.releases).toHaveLength(8);
    expect(uploads()).toHaveLength(namesIn(dir).length);
  });

  test("a run that died in the middle of a file goes on with what is missing", async () => {
    const stop = new AbortController();
    server.fault = (call) => {
      if (!isUploadOf("uki.efi", call)) return undefined;
      stop.abort(new Error("interrupted"));
      return { kind: "break", afterBytes: 1 };
    };
    await expect(run(asked("--apply"), { signal: stop.signal })).rejects.toMatchObject({ code: "PUBLISH_INTERRUPTED", exit: 3 });
    const before = server.releases[0]?.assets.filter(({ state }) => state === "uploaded").length ?? 0;
    expect(before).toBeGreaterThan(0);
    expect(server.releases[0]?.assets.some(({ state }) => state === "starter")).toBe(true);

    server.fault = () => undefined;
    server.calls.length = 0;
    expect((await apply()).stdout).toContain(`${before} were there already`);
    expect(uploads()).toHaveLength(namesIn(dir).length - before);
    expectWhole();
  });

  test("a connection that breaks in the middle of a large file is tried again, its remains cleared away first", async () => {
    server.fault = (call, nth) => (isUploadOf(DISK, call) && nth === 1 ? { kind: "break", afterBytes: 1 << 20 } : undefined);
    expect((await apply()).exit).toBe(0);
    expectWhole();
    expect(waits).toEqual([1000]);
    expect(deletions()).toHaveLength(1);
  });

  test("an answer that is lost is not an upload that is lost", async () => {
    server.fault = (call, nth) => (isUploadOf(DISK, call) && nth === 1 ? { kind: "lose-answer" } : undefined);
    expect((await apply()).exit).toBe(0);
    expectWhole();
    expect(uploads().filter((call) => isUploadOf(DISK, call))).toHaveLength(1);
  });

  test("already_exists (422) is settled by looking at what exists", async () => {
    // Somebody else uploads the same file between our look and our upload.
    server.fault = (call) => {
      const [release] = server.releases;
      if (isUploadOf(DISK, call) && release !== undefined && !release.assets.some(({ name }) => name === DISK))
        release.assets.push({ id: 777, name: DISK, content: read(dir, DISK), state: "uploaded" });
      return undefined;
    };
    expect((await apply()).exit).toBe(0);
    expectWhole();
    expect(deletions()).toEqual([]);
  });

  test("without digests from GitHub every asset is read back, through a redirect that gets no token", async () => {
    server.digests = false;
    expect((await apply()).exit).toBe(0);
    expectWhole();
    const reads = server.calls.filter(({ path }) => path.includes("/releases/assets/"));
    expect(reads.length).toBeGreaterThanOrEqual(namesIn(dir).length);
  });
});

describe("what is never overwritten", () => {
  test.each([true, false])("an asset with other bytes under a name of ours (digests: %s)", async (digests) => {
    await apply();
    server.digests = digests;
    const asset = server.releases[0]?.assets.find(({ name }) => name === "uki.efi");
    if (asset !== undefined) asset.content = Buffer.from(asset.content).fill(1);
    await expect(apply("--publish")).rejects.toMatchObject({ code: "PUBLISH_ASSET_DIFFERS", exit: 1 });
    expect(deletions()).toEqual([]);
    expect(server.releases[0]?.draft).toBe(true);
  });

  test("an upload that is stored as something else is noticed at once", async () => {
    server.fault = (call) => (isUploadOf("bootx64.efi", call) ? { kind: "corrupt" } : undefined);
    await expect(apply("--publish")).rejects.toMatchObject({ code: "PUBLISH_ASSET_DIFFERS" });
    expect(server.releases[0]?.draft).toBe(true);
  });

  test("a file on the draft that is not ours", async () => {
    await apply();
    server.releases[0]?.assets.push({ id: 778, name: "setup.exe", content: Buffer.from("x"), state: "uploaded" });
    await expect(apply("--publish")).rejects.toMatchObject({ code: "PUBLISH_ASSET_FOREIGN" });
    expect(server.releases[0]?.draft).toBe(true);
  });

  test("a public release that lacks a file", async () => {
    await apply("--publish");
    server.releases[0]?.assets.splice(0, 1);
    await expect(apply()).rejects.toMatchObject({ code: "PUBLISH_ALREADY_PUBLISHED" });
  });

  test("two releases under one tag", async () => {
    for (const id of [901, 902]) server.releases.push({ id, tag_name: TAG, draft: true, prerelease: true, body: "", assets: [] });
    await expect(apply()).rejects.toMatchObject({ code: "PUBLISH_RELEASE_AMBIGUOUS" });
  });
});

describe("limits and failures", () => {
  const waitsFor: readonly {
    readonly name: string;
    readonly status: number;
    readonly headers: Readonly<Record<string, string>>;
    readonly ms: number;
  }[] = [
    { name: "a secondary limit says how long", status: 403, headers: { "retry-after": "42" }, ms: 42_000 },
    {
      name: "the hourly limit says when it ends",
      status: 403,
      headers: { "x-ratelimit-remaining": "0", "x-ratelimit-reset": "1760000030" },
      ms: 30_000,
    },
    { name: "429 with a time", status: 429, headers: { "retry-after": "7" }, ms: 7000 },
    { name: "429 without one", status: 429, headers: {}, ms: 60_000 },
    { name: "a failure of GitHub", status: 502, headers: {}, ms: 1000 },
  ];
  test.each(waitsFor)("$name: waits and goes on", async ({ status, headers, ms }) => {
    server.fault = (call, nth) => (isUploadOf("uki.efi", call) && nth === 1 ? { kind: "status", status, headers } : undefined);
    const { exit, stderr } = await apply();
    expect(exit).toBe(0);
    expect(waits).toEqual([ms]);
    expect(stderr).toContain(`again in ${ms / 1000} s`);
    expectWhole();
  });

  test("a limit of an hour is not waited for; the next run goes on", async () => {
    server.fault = ({ method }) =>
      method === "GET"
        ? { kind: "status", status: 403, headers: { "x-ratelimit-remaining": "0", "x-ratelimit-reset": "1760003600" } }
        : undefined;
    await expect(apply()).rejects.toMatchObject({ code: "PUBLISH_RATE_LIMITED", exit: 3 });
    expect(waits).toEqual([]);
  });

  test("a server that keeps failing is given up after five attempts, ever further apart", async () => {
    server.fault = (call) => (isUploadOf("uki.efi", call) ? { kind: "status", status: 503 } : undefined);
    await expect(apply()).rejects.toMatchObject({ code: "PUBLISH_UNAVAILABLE", exit: 3 });
    expect(waits).toEqual([1000, 2000, 4000, 8000]);
  });

  test("no server at all", async () => {
    const gone = server.url;
    await server[Symbol.asyncDispose]();
    await expect(run(asked("--apply", "--github-api", gone))).rejects.toMatchObject({ code: "PUBLISH_UNAVAILABLE" });
    server = await githubServer();
  });

  test.each([401, 403, 404])("%i is no reason to try again", async (status) => {
    server.fault = () => ({ kind: "status", status });
    await expect(apply()).rejects.toMatchObject({ code: "PUBLISH_NOT_ALLOWED", exit: 2 });
    expect(server.calls).toHaveLength(1);
  });

  test("422 without an asset to show for it", async () => {
    server.fault = (call) =>
      isUploadOf("uki.efi", call) ? { kind: "status", status: 422, message: "Validation Failed" } : undefined;
    await expect(apply()).rejects.toMatchObject({ code: "PUBLISH_REFUSED" });
  });

  test("an upload address at another host gets neither file nor token", async () => {
    server.uploadOrigin = "https://uploads.example";
    await expect(apply()).rejects.toMatchObject({ code: "PUBLISH_UPLOAD_URL_FOREIGN" });
    expect(uploads()).toEqual([]);
  });
});

describe("the token", () => {
  test("comes from a descriptor, and is in no output and no error", async () => {
    mkdirSync(at("secrets"), { mode: 0o700, recursive: true });
    const path = join(mkdtempSync(at("secrets/t-")), "token");
    writeFileSync(path, `${TOKEN}\n`, { mode: 0o600 });
    const fd = openSync(path, "r");
    try {
      const { exit, stdout, stderr } = await run(asked("--apply", "--token-fd", `${fd}`), { env: { GITHUB_TOKEN: "wrong" } });
      expect(exit).toBe(0);
      expect(stdout + stderr).not.toContain(TOKEN);
    } finally {
      closeSync(fd);
    }
    const wrong = "ghp_wrong";
    const error = await run(asked("--apply"), { env: { GITHUB_TOKEN: wrong } }).catch((caught: Error) => caught);
    expect(error).toMatchObject({ code: "PUBLISH_NOT_ALLOWED" });
    expect(String((error as Error).message)).not.toContain(wrong);
    expect(server.releases[0]?.body).not.toContain(TOKEN);
  });
});

test("what was uploaded, downloaded flat, becomes the same release again", async () => {
  await apply();
  mkdirSync(at("downloads"));
  for (const { name, content } of server.releases[0]?.assets ?? []) writeFileSync(at(`downloads/${name}`), content);
  const args = ["--restore", `assets:${at("downloads")}`, at("restored")];
  expect((await run(args)).stdout).toContain("add --apply");
  expect((await run([...args, "--apply"])).exit).toBe(0);
  expect(namesIn(at("restored"))).toEqual(namesIn(dir));
  for (const name of namesIn(dir)) expect(readFileSync(join(at("restored"), name)).equals(read(dir, name)), name).toBe(true);
});
