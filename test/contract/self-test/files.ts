import { CHECKSUMS_FILE } from "@secai/formats/checksums";
import { signedFileOf } from "@secai/formats/release-layout";
import { flip, read, write } from "../release/forge.ts";
import type { Case } from "./scene.ts";

// What happens to any file on its way: every one of them is damaged in every one of these ways, and found by the same check.

/** The list and its signature vouch for each other, the list for all the rest. */
function guardOf(name: string): string {
  return name === CHECKSUMS_FILE || signedFileOf(name) === CHECKSUMS_FILE ? "checksums.signature" : `files.digest:${name}`;
}

const NOTHING = Buffer.alloc(0);
const OTHER = Buffer.from("something else\n");

const damages: Readonly<Record<string, (dir: string, name: string) => void>> = {
  "a bit of the first byte": (dir, name) => flip(dir, name, 0),
  "a bit of the last byte": (dir, name) => flip(dir, name, read(dir, name).length - 1),
  "a bit in the middle": (dir, name) => flip(dir, name, read(dir, name).length >> 1),
  "the second half gone": (dir, name) => write(dir, name, read(dir, name).subarray(0, read(dir, name).length >> 1)),
  "a byte more": (dir, name) => write(dir, name, Buffer.concat([read(dir, name), Buffer.from("\n")])),
  "no content": (dir, name) => write(dir, name, NOTHING),
  "other content": (dir, name) => write(dir, name, OTHER),
};

export const damagedFiles = (names: readonly string[]): readonly Case[] =>
  Object.entries(damages).flatMap(([damage, apply]) =>
    names.map((name): Case => ({ name: `${name}: ${damage}`, fails: [guardOf(name)], apply: ({ dir }) => apply(dir, name) })),
  );
