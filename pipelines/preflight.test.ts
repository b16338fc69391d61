import { expect, test } from "vitest";
import { type PreflightHost, preflight } from "./preflight.ts";

interface Fake extends PreflightHost {
  readonly ran: string[];
}

/** A host with these files; its apt-get installs what `offered` says. */
function fakeHost(files: readonly string[], root: boolean, offered: Readonly<Record<string, string>> = {}, status = 0): Fake {
  const present = new Set(files);
  const ran: string[] = [];
  return {
    path: "/usr/bin",
    root,
    ran,
    exists: (path) => present.has(path),
    async run(command, args) {
      ran.push([command, ...args.filter((arg) => !arg.startsWith("-") && !arg.includes("::"))].join(" "));
      if (args.includes("install")) for (const name of args) if (offered[name] !== undefined) present.add(offered[name]);
      return { status, stdout: "", stderr: "E: no network" };
    },
  };
}

const apt = ["/usr/bin/apt-get", "/usr/lib/apt/apt-helper"];

test("nothing runs when all is there", async () => {
  const host = fakeHost(["/usr/bin/bwrap", "/usr/sbin/mmdebstrap"], false);
  await preflight(["bwrap", "mmdebstrap"], { host });
  expect(host.ran).toEqual([]);
});

test("root on Debian: one notice, an update, an installation", async () => {
  const host = fakeHost(apt, true, { bubblewrap: "/usr/bin/bwrap", gpgv: "/usr/bin/gpgv" });
  const notices: string[] = [];
  await preflight(["bwrap", "gpgv", "uidmap"], { host, notice: (line) => notices.push(line) });
  expect(host.ran).toEqual(["apt-get update", "apt-get install bubblewrap gpgv"]);
  expect(notices).toEqual(["installing bubblewrap, gpgv with apt-get"]);
});

test("an ordinary user is told the one command, and needs the id maps", async () => {
  const error = await preflight(["bwrap", "uidmap"], { host: fakeHost(apt, false) }).catch((caught: unknown) => caught);
  expect(error).toMatchObject({
    code: "PREFLIGHT_MISSING",
    exit: 3,
    fix: "Run: sudo sh -c 'apt-get update && apt-get install --no-install-recommends bubblewrap uidmap'",
  });
});

test("without apt, packages are named", async () => {
  const error = await preflight(["bwrap"], { host: fakeHost([], true) }).catch((caught: unknown) => caught);
  expect(error).toMatchObject({ code: "PREFLIGHT_MISSING", fix: expect.stringContaining("bubblewrap") });
});

test("an apt that fails is told of", async () => {
  const error = await preflight(["bwrap"], { host: fakeHost(apt, true, {}, 100) }).catch((caught: unknown) => caught);
  expect(error).toMatchObject({ code: "PREFLIGHT_INSTALL_FAILED", actual: "E: no network" });
});

test("an apt that installs nothing is told of", async () => {
  const error = await preflight(["bwrap"], { host: fakeHost(apt, true) }).catch((caught: unknown) => caught);
  expect(error).toMatchObject({ code: "PREFLIGHT_INSTALL_FAILED", actual: "bubblewrap still missing" });
});
