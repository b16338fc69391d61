import { sha256 } from "@secai/formats/digest";
import { type Case, RELEASE_ARGS } from "./scene.ts";

// The release is genuine; it is not the one that was asked for, or not by whom the caller trusts.

const DIR = "@/release";
const KEY = ["--key", "@/inputs/release.pub"];
const DEV = ["--designation", "dev"];
const AT = ["--at", "{at}"];

const question = (name: string, args: readonly string[], fails: readonly string[], exit?: Case["exit"]): Case => ({
  name: `question: ${name}`,
  args: ["release", DIR, ...AT, ...args],
  fails,
  ...(exit !== undefined && { exit }),
});

export const questions: readonly Case[] = [
  question("another version", [...KEY, ...DEV, "--release", "0.2.0"], ["release.identity"]),
  question("a version that begins alike", [...KEY, ...DEV, "--release", "0.1.0.1"], ["release.identity"]),
  question("a stable release", [...KEY, "--designation", "stable"], ["release.designation"]),
  question("a release for strangers, by default", KEY, ["release.designation"]),
  question("another builder", [...KEY, ...DEV, "--builder", "urn:secai-os:builder:other"], ["provenance.builder"]),
  question(
    "a builder that begins alike",
    [...KEY, ...DEV, "--builder", "urn:secai-os:builder:local:v1:x"],
    ["provenance.builder"],
  ),
  question(
    "a stranger's key",
    ["--key", "@/inputs/stranger.pub", ...DEV],
    ["keys.release", "checksums.signature", "provenance.signature"],
  ),
  question("a key by another fingerprint", ["--fingerprint", sha256("no key"), ...DEV], ["keys.release"]),
  question("nobody to trust", DEV, ["error:TRUST_ROOT_MISSING"], 2),
  question("half a fingerprint", ["--fingerprint", sha256("x").slice(0, 32), ...DEV], ["error:DIGEST_MALFORMED"], 2),
  question("a designation that there is not", [...KEY, "--designation", "Dev"], ["error:VERIFY_USAGE"], 2),
  question("a weaker check than there is", [...KEY, ...DEV, "--insecure"], ["error:VERIFY_USAGE"], 2),
  {
    name: "question: a directory that is not there",
    args: RELEASE_ARGS.map((arg) => (arg === DIR ? "@/none" : arg)),
    fails: ["error:TARGET_MISSING"],
    exit: 2,
  },
  {
    name: "question: a file for a directory",
    args: RELEASE_ARGS.map((arg) => (arg === DIR ? "@/inputs/release.pub" : arg)),
    fails: ["error:TARGET_MISSING"],
    exit: 2,
  },
];
