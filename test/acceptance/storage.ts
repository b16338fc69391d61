import { expectEqual, expectMatch, expectNoMatch, expectTrue } from "../vm/expect.ts";
import type { Scenario } from "../vm/suite.ts";

/** systemd-cryptenroll's recovery keys: eight groups of eight letters of the modhex alphabet. */
export const RECOVERY_KEY = /\b(?:[cbdefghijklnrtuv]{8}-){7}[cbdefghijklnrtuv]{8}\b/g;

interface LuksHeader {
  readonly keyslots: Readonly<Record<string, unknown>>;
  readonly tokens: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly segments: Readonly<Record<string, { readonly encryption: string }>>;
}

/** Without tokens, or the TPM would open it whatever the key. */
const TEST_KEY =
  "cryptsetup open --test-passphrase --disable-external-tokens --token-type none --key-file - /dev/disk/by-partlabel/var";
const DUMP = "cryptsetup luksDump --dump-json-metadata /dev/disk/by-partlabel/var";

export const storageScenarios: readonly Scenario[] = [
  {
    id: "storage.encrypted",
    title: "/var is an encrypted LUKS2 volume, with no key slot but the TPM's and the recovery key's",
    needs: "shared",
    smoke: true,
    async run(test) {
      const machine = await test.shared();
      expectMatch(await machine.succeeds("findmnt -n -o SOURCE,FSTYPE /var"), /^\/dev\/mapper\/var\s+ext4/, "/var");
      const { segments, keyslots, tokens } = JSON.parse(await machine.succeeds(DUMP)) as LuksHeader;
      expectEqual(segments["0"]?.encryption, "aes-xts-plain64", "cipher");
      const types = Object.values(tokens).map(({ type }) => String(type));
      expectEqual(types.sort().join(" "), "systemd-recovery systemd-tpm2", "tokens");
      expectEqual(Object.keys(keyslots).length, 2, "key slots");
    },
  },
  {
    id: "storage.tpm-bound",
    title: "The TPM releases the key only under PCR 7, PCR 12 and a signed PCR 11 policy of the release's key",
    needs: "shared",
    async run(test) {
      const machine = await test.shared();
      const { tokens } = JSON.parse(await machine.succeeds(DUMP)) as LuksHeader;
      const token = Object.values(tokens).find(({ type }) => type === "systemd-tpm2") ?? {};
      expectEqual(JSON.stringify(token["tpm2-pcrs"]), "[7,12]", "tpm2-pcrs");
      expectEqual(JSON.stringify(token.tpm2_pubkey_pcrs), "[11]", "tpm2_pubkey_pcrs");
      expectEqual(token["tpm2-pcr-bank"], "sha256", "bank");
      const enrolled = Buffer.from(String(token.tpm2_pubkey), "base64").toString("latin1").replaceAll(/\s/g, "");
      expectEqual(enrolled, test.release.read("keys/pcr.pub").toString("latin1").replaceAll(/\s/g, ""), "policy key");
    },
  },
  {
    id: "storage.recovery-key",
    title: "The recovery key was shown once, on the console only, and it opens the volume",
    needs: "fork",
    async run(test) {
      const { console } = await test.world.first();
      const shown = console.match(RECOVERY_KEY) ?? [];
      expectEqual(shown.length, 1, "recovery keys on the serial console");
      const key = shown[0] ?? "";
      const machine = await test.fork();
      await machine.succeeds(TEST_KEY, { stdin: key });
      await machine.fails(TEST_KEY, {
        stdin: key.replace(/.$/, "x"),
      });
      expectNoMatch(await machine.succeeds("journalctl --no-pager -o cat"), RECOVERY_KEY, "journal");
      const { stdout } = await machine.run(`grep -rlsF --exclude-dir=secai-test -- '${key}' /run /var /tmp`);
      expectEqual(stdout.trim(), "", "files with the recovery key");
    },
  },
  {
    id: "storage.mounts",
    title: "Writable file systems refuse devices and set-user-ID files, and programs where none belong",
    needs: "shared",
    async run(test) {
      const machine = await test.shared();
      const wanted: Readonly<Record<string, readonly string[]>> = {
        "/var": ["nodev", "nosuid", "noexec"],
        "/tmp": ["nodev", "nosuid", "noexec"],
        "/run": ["nodev", "nosuid"],
        "/dev/shm": ["nodev", "nosuid"],
      };
      for (const [path, flags] of Object.entries(wanted)) {
        const options = (await machine.succeeds(`findmnt -n -o OPTIONS ${path}`)).trim().split(",");
        const lacking = flags.filter((flag) => !options.includes(flag));
        expectEqual(lacking.join(" "), "", `missing mount options of ${path}`);
      }
    },
  },
  {
    id: "storage.journal",
    title: "The journal is kept on the encrypted disk",
    needs: "shared",
    async run(test) {
      const machine = await test.shared();
      expectTrue(
        Number(await machine.succeeds("find /var/log/journal -name system.journal | wc -l")) === 1,
        "one journal",
        "none",
      );
      await machine.fails("find /run/log/journal -name '*.journal' 2>/dev/null | grep -q .");
    },
  },
];
