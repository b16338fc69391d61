import { canonicalJson } from "@secai/formats/canonical-json";
import { sha256 } from "@secai/formats/digest";
import { bundleOf, KEY_MANIFEST_FILE, MEASUREMENTS_FILE, PROVENANCE_FILE } from "@secai/formats/release-layout";
import { signBlob } from "@secai/sign/sign";
import { flip, type Mutable, read, remove, set, setIn, signPayload, statementIn, write } from "../release/forge.ts";
import type { Case, SelfTestScene } from "./scene.ts";
import { entryOf } from "./trust.ts";

// One file and the signatures about it: `secai verify file`.

const MEASURED_BOOT = "urn:secai-os:predicate:measured-boot:v1";
const KEY = ["--key", "@/inputs/release.pub"];
const fileCase = (
  name: string,
  fails: readonly string[],
  args: readonly string[],
  apply?: (scene: SelfTestScene) => void,
  exit: Exclude<Case["exit"], undefined> = 1,
): Case => ({
  name: `file: ${name}`,
  fails,
  exit,
  args: ["file", ...args, "--at", "{at}"],
  ...(apply !== undefined && { apply }),
});
const MEASURED = `@/release/${MEASUREMENTS_FILE}`;
const UKI = ["@/release/uki.efi", "--subject-of", `@/release/${PROVENANCE_FILE}.sigstore.json`];

export const fileCases: readonly Case[] = [
  fileCase("a flipped bit", ["file.subject"], [MEASURED, ...KEY], ({ dir }) => flip(dir, MEASUREMENTS_FILE, 5)),
  fileCase("a flipped bit of a file that a statement names", ["file.subject"], [...UKI, ...KEY], ({ dir }) =>
    flip(dir, "uki.efi", 5),
  ),
  fileCase("a stranger's key", ["file.signature"], [MEASURED, "--key", "@/inputs/stranger.pub"]),
  fileCase("a stranger's signature", ["file.signature"], [MEASURED, ...KEY], ({ dir, stranger }) =>
    write(
      dir,
      bundleOf(MEASUREMENTS_FILE),
      signPayload(Buffer.from(`${JSON.stringify(statementIn(dir, MEASUREMENTS_FILE))}\n`), stranger),
    ),
  ),
  fileCase(
    "the statement about another file",
    ["file.subject"],
    ["@/release/bootx64.efi", "--bundle", `${MEASURED}.sigstore.json`, ...KEY],
  ),
  fileCase("a statement of another type", ["file.type"], [MEASURED, "--type", "https://slsa.dev/provenance/v1", ...KEY]),
  fileCase("an empty signature", ["file.signature"], [MEASURED, ...KEY], ({ dir }) =>
    setIn(dir, bundleOf(MEASUREMENTS_FILE), "dsseEnvelope/signatures/0/sig", ""),
  ),
  fileCase("a bundle cut short", ["file.bundle"], [MEASURED, ...KEY], ({ dir }) =>
    write(dir, bundleOf(MEASUREMENTS_FILE), read(dir, bundleOf(MEASUREMENTS_FILE)).subarray(0, -9)),
  ),
  fileCase("a file's signature over other content", ["file.signature"], ["@/inputs/note.txt", ...KEY], ({ inputs, key }) => {
    write(inputs, "note.txt", "note\n");
    write(inputs, "note.txt.sigstore.json", signBlob(Buffer.from("other\n"), key));
  }),
  fileCase("no signature at all", ["file.bundle"], [MEASURED, ...KEY], ({ dir }) => remove(dir, bundleOf(MEASUREMENTS_FILE)), 3),
  fileCase(
    "a key manifest that does not name the signer",
    ["file.signature"],
    [MEASURED, "--key-manifest", "@/inputs/keys.json"],
    ({ dir, inputs, stranger }) => {
      write(inputs, "keys.json", read(dir, KEY_MANIFEST_FILE));
      write(
        dir,
        bundleOf(MEASUREMENTS_FILE),
        signPayload(Buffer.from(`${JSON.stringify(statementIn(dir, MEASUREMENTS_FILE))}\n`), stranger),
      );
    },
  ),
  fileCase(
    "one signature where a key manifest wants two",
    ["file.threshold"],
    [MEASURED, "--key-manifest", "@/inputs/keys.json"],
    ({ dir, inputs, key, stranger }) => {
      const manifest = JSON.parse(read(dir, KEY_MANIFEST_FILE).toString()) as Mutable;
      set(manifest, `keys/${stranger.fingerprint}`, entryOf(stranger, String(manifest.issued)));
      set(manifest, "roles/release", { threshold: 2, keys: [key.fingerprint, stranger.fingerprint] });
      write(inputs, "keys.json", `${canonicalJson(manifest)}\n`);
    },
  ),
  fileCase("a file as it was signed", [], [MEASURED, ...KEY], undefined, 0),
  fileCase("a file of the expected type", [], [MEASURED, "--type", MEASURED_BOOT, ...KEY], undefined, 0),
  fileCase("a file that a statement names", [], [...UKI, ...KEY], undefined, 0),
  fileCase(
    "a file under a key manifest",
    [],
    [MEASURED, "--key-manifest", "@/inputs/keys.json"],
    ({ dir, inputs }) => write(inputs, "keys.json", read(dir, KEY_MANIFEST_FILE)),
    0,
  ),
  fileCase(
    "any file that a key signed",
    [],
    ["@/inputs/note.txt", ...KEY],
    ({ inputs, key }) => {
      write(inputs, "note.txt", sha256("note"));
      write(inputs, "note.txt.sigstore.json", signBlob(Buffer.from(sha256("note")), key));
    },
    0,
  ),
];
