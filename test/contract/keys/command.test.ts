import { closeSync, openSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseKeyManifest } from "@secai/formats/key-manifest";
import { ensureKeyManifest } from "@secai/release/keys/ensure";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { loadKeyring } from "../../../pipelines/keyring.ts";
import { KeysDirectory, runOn } from "./keys-directory.ts";

let directory: KeysDirectory;
beforeEach(() => {
  directory = new KeysDirectory();
});
afterEach(() => directory.remove());

const manifest = () => parseKeyManifest(directory.read("keys.json"));
const privateModes = () =>
  Object.entries(directory.snapshot())
    .filter(([name]) => name.endsWith(".key"))
    .map(([, state]) => state.slice(0, 3));

describe("what is refused leaves the directory as it was", () => {
  const withManifest = async () => void (await ensureKeyManifest(directory.path));
  const refused: readonly {
    readonly name: string;
    readonly args: readonly string[];
    readonly code: string;
    readonly before?: () => Promise<void>;
  }[] = [
    { name: "no verb", args: [], code: "KEYS_USAGE" },
    { name: "an unknown verb", args: ["destroy"], code: "KEYS_USAGE" },
    { name: "an unknown option", args: ["status", "--force"], code: "KEYS_USAGE" },
    { name: "two things at once", args: ["rotate", "release", "image"], code: "KEYS_USAGE" },
    { name: "status without a manifest", args: ["status"], code: "KEY_SET_INCOMPLETE" },
    { name: "rotation without a manifest", args: ["rotate", "release", "--apply"], code: "KEY_SET_INCOMPLETE" },
    { name: "a threshold above the keys", args: ["init", "--threshold", "2", "--apply"], code: "KEYS_USAGE" },
    { name: "a threshold of none", args: ["init", "--threshold", "0", "--apply"], code: "KEYS_USAGE" },
    { name: "a number that is none", args: ["init", "--keys", "3x", "--apply"], code: "KEYS_USAGE" },
    { name: "an unknown rule for signatures", args: ["init", "--signatures", "none", "--apply"], code: "KEYS_USAGE" },
    { name: "a second beginning", args: ["init", "--apply"], code: "KEY_SET_EXISTS", before: withManifest },
    { name: "an unknown role", args: ["rotate", "everything", "--apply"], code: "KEYS_USAGE", before: withManifest },
    {
      name: "a threshold for another role",
      args: ["rotate", "image", "--keys", "2", "--apply"],
      code: "KEYS_USAGE",
      before: withManifest,
    },
    {
      name: "new Secure Boot keys from nowhere",
      args: ["rotate", "secure-boot", "--apply"],
      code: "KEYS_USAGE",
      before: withManifest,
    },
    {
      name: "new Secure Boot keys from a folder without them",
      args: ["rotate", "secure-boot", "--from", "/nonexistent", "--apply"],
      code: "KEY_SET_INCOMPLETE",
      before: withManifest,
    },
    {
      name: "a revocation without a reason",
      args: ["revoke", "a".repeat(16), "--apply"],
      code: "KEYS_USAGE",
      before: withManifest,
    },
    {
      name: "a revocation of an unknown key",
      args: ["revoke", "a".repeat(16), "--reason", "x", "--apply"],
      code: "KEY_UNKNOWN",
      before: withManifest,
    },
    {
      name: "a revocation of what is no fingerprint",
      args: ["revoke", "", "--reason", "x", "--apply"],
      code: "KEY_UNKNOWN",
      before: withManifest,
    },
    {
      name: "a change while another is made",
      args: ["rotate", "release", "--apply"],
      code: "KEY_SET_BUSY",
      before: async () => {
        await withManifest();
        writeFileSync(join(directory.path, ".lock"), "1", { mode: 0o600 });
      },
    },
    {
      name: "a rule that no key can meet",
      args: ["rotate", "release", "--signatures", "hybrid", "--apply"],
      code: "SCHEMA_MISMATCH",
      before: withManifest,
    },
    {
      name: "a change without the root keys",
      args: ["rotate", "release", "--apply"],
      code: "KEYS_ROOT_SHORT",
      before: async () => {
        await directory.keys(["init", "--keys", "2", "--threshold", "2", "--apply"]);
        rmSync(join(directory.path, `root-${manifest().roles.root.keys[0]?.slice(0, 16)}.key`));
      },
    },
    {
      name: "a change after which nobody could sign releases",
      args: ["rotate", "image", "--apply"],
      code: "KEYS_REHEARSAL_FAILED",
      before: async () => {
        await directory.keys(["init", "--apply"]);
        rmSync(join(directory.path, "release.key"));
      },
    },
    {
      name: "a change of a manifest whose signature is gone",
      args: ["rotate", "release", "--apply"],
      code: "KEY_SET_BROKEN",
      before: async () => {
        await withManifest();
        rmSync(join(directory.path, "keys.json.sigstore.json"));
      },
    },
    {
      name: "a change of a manifest whose history is gone",
      args: ["rotate", "release", "--apply"],
      code: "KEY_SET_BROKEN",
      before: async () => {
        await withManifest();
        await directory.keys(["rotate", "release", "--apply"]);
        rmSync(join(directory.path, "history", "1.json"));
      },
    },
  ];
  for (const { name, args, code, before } of refused) {
    test(`${name}: ${code}`, async () => {
      await before?.();
      const was = directory.snapshot();
      await expect(directory.keys(args)).rejects.toMatchObject({ code });
      expect(directory.snapshot()).toEqual(was);
    });
  }
});

describe("without --apply nothing changes", () => {
  for (const args of [
    ["init", "--threshold", "2", "--keys", "3"],
    ["init", "--ml-dsa", "--signatures", "hybrid"],
  ]) {
    test(args.join(" "), async () => {
      const was = directory.snapshot();
      const report = await directory.json(args);
      expect(report).toMatchObject({ applied: false, version: 1 });
      expect(report.rehearsal).toSatisfy(
        (proofs: { holds: boolean }[]) => proofs.length > 5 && proofs.every(({ holds }) => holds),
      );
      expect(directory.snapshot()).toEqual(was);
    });
  }
  test("rotate and revoke", async () => {
    await ensureKeyManifest(directory.path);
    const was = directory.snapshot();
    const [fingerprint = ""] = manifest().roles.release.keys;
    expect(await directory.json(["rotate", "release"])).toMatchObject({ applied: false, version: 2 });
    expect(await directory.json(["revoke", fingerprint, "--reason", "lost"])).toMatchObject({ applied: false, version: 2 });
    expect(directory.snapshot()).toEqual(was);
  });
});

test("init makes root keys of their own, k of n; private keys are their owner's alone", async () => {
  await directory.keys(["init", "--threshold", "2", "--keys", "3", "--apply"]);
  const { roles, version } = manifest();
  expect([version, roles.root.threshold, roles.root.keys.length]).toEqual([1, 2, 3]);
  expect(roles.root.keys).not.toContain(roles.release.keys[0]);
  expect(new Set(privateModes())).toEqual(new Set(["600"]));
  const status = await directory.json(["status"]);
  expect(status).toMatchObject({ version: 1, thresholds: { root: 2, release: 1 }, signatures: "classical", revoked: [] });
});

test("rotation keeps the old state, and release.key is the key that signs releases", async () => {
  await ensureKeyManifest(directory.path);
  const before = {
    manifest: directory.read("keys.json"),
    bundle: directory.read("keys.json.sigstore.json"),
    key: directory.read("release.key"),
  };
  const [old = ""] = manifest().roles.release.keys;
  await directory.keys(["rotate", "release", "--apply"]);
  expect(directory.read("history/1.json")).toEqual(before.manifest);
  expect(directory.read("history/1.json.sigstore.json")).toEqual(before.bundle);
  expect(directory.read(`root-${old.slice(0, 16)}.key`)).toEqual(before.key);
  const { held, manifest: now } = await ensureKeyManifest(directory.path);
  expect([...held.values()].find(({ file }) => file === "release.key")?.key.fingerprint).toBe(now.roles.release.keys[0]);
  expect(now.roles.image.keys).toEqual([old]);
});

test("a revoked key is in no role, its successor has them all, and it never comes back", async () => {
  await ensureKeyManifest(directory.path);
  const [old = ""] = manifest().roles.release.keys;
  await directory.keys(["revoke", old.slice(0, 16), "--reason", "laptop stolen", "--apply"]);
  const { roles, revoked } = manifest();
  expect(revoked).toMatchObject([{ fingerprint: old, reason: "laptop stolen" }]);
  const [fresh] = roles.root.keys;
  expect([roles.release.keys, roles.image.keys, roles.channel.keys]).toEqual([[fresh], [fresh], [fresh]]);
  await directory.keys(["rotate", "root", "--threshold", "2", "--keys", "2", "--apply"]);
  expect(manifest()).toMatchObject({ version: 3, revoked: [{ fingerprint: old }], roles: { root: { threshold: 2 } } });
  await expect(directory.keys(["revoke", old, "--reason", "again"])).rejects.toMatchObject({ code: "KEY_UNKNOWN" });
});

test("from one algorithm to two, a role at a time, until both must sign", async () => {
  await ensureKeyManifest(directory.path);
  for (const role of ["root", "release", "image"]) await directory.keys(["rotate", role, "--ml-dsa", "--apply"]);
  expect(manifest().signatures).toBe("any");
  await directory.keys(["rotate", "channel", "--ml-dsa", "--signatures", "hybrid", "--apply"]);
  await directory.keys(["rotate", "release", "--apply"]);
  const { signatures, roles, keys } = manifest();
  expect([signatures, roles.release.keys.map((one) => keys[one]?.algorithm)]).toEqual(["hybrid", ["ecdsa-p256", "ml-dsa-65"]]);
});

test("a new PCR key is made, new Secure Boot keys are taken over; the old ones stay in history", async () => {
  await ensureKeyManifest(directory.path);
  const old = { pcr: directory.read("pcr.pub"), db: directory.read("db.crt") };
  await directory.keys(["rotate", "pcr", "--apply"]);
  loadKeyring(directory.beside("fresh"), () => undefined);
  await directory.keys(["rotate", "secure-boot", "--from", directory.beside("fresh"), "--apply"]);
  expect([directory.read("history/1-pcr.pub"), directory.read("history/2-db.crt")]).toEqual([old.pcr, old.db]);
  const { roles } = (await ensureKeyManifest(directory.path)).manifest;
  expect([roles["secure-boot"].keys.length, roles.pcr.keys.length]).toEqual([3, 1]);
});

test("encrypted keys need their passphrase, from a descriptor", async () => {
  const file = directory.beside("passphrase");
  const withPassphrase = async (text: string, args: readonly string[]) => {
    writeFileSync(file, `${text}\n`, { mode: 0o600 });
    const fd = openSync(file, "r");
    return directory.keys([...args, "--passphrase-fd", `${fd}`]).finally(() => {
      try {
        closeSync(fd);
      } catch (error) {
        expect(error).toMatchObject({ code: "EBADF" });
      }
    });
  };
  await ensureKeyManifest(directory.path);
  await withPassphrase("correct horse", ["rotate", "channel", "--encrypt", "--apply"]);
  const tag = manifest().roles.channel.keys[0]?.slice(0, 16);
  expect(directory.read(`channel-${tag}.key`).toString()).toContain("ENCRYPTED SIGSTORE PRIVATE KEY");
  await directory.keys(["status"]);
  await expect(withPassphrase("wrong", ["rotate", "channel", "--apply"])).rejects.toMatchObject({ code: "KEY_PASSPHRASE_WRONG" });
  await withPassphrase("correct horse", ["rotate", "image", "--apply"]);
  expect(manifest().version).toBe(3);
});

test("a directory that is not there is made where that is possible", async () => {
  const path = directory.beside("new");
  await expect(runOn(path, ["init", "--apply"])).rejects.toMatchObject({ code: "KEY_SET_INCOMPLETE" });
  const world = {
    nowMs: Date.now,
    makeKeyring: (dir: string, say: (message: string) => void) => {
      loadKeyring(dir, say);
    },
  };
  await expect(runOn(path, ["init"], world)).rejects.toMatchObject({ code: "KEY_SET_INCOMPLETE" });
  const report = JSON.parse(await runOn(path, ["init", "--apply", "--json"], world));
  expect(report).toMatchObject({ applied: true, directory: path, version: 1 });
  expect((await ensureKeyManifest(path)).manifest.roles.root.threshold).toBe(1);
});
