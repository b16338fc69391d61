import { type Sha256, sha256 } from "@secai/formats/digest";
import { authenticodeOf } from "./authenticode.ts";
import { MeasureError } from "./errors.ts";
import { parsePe, sectionContent } from "./pe.ts";

/** What a UKI addon puts into the TPM: its own hash into PCR 4 (it is loaded as an image) and its command line into PCR 12. */
export interface AddonMeasurement {
  readonly authenticode: Sha256;
  readonly commandLine: string;
  readonly commandLineDigest: Sha256;
}

/** Sections of an addon that systemd-stub acts on besides the command line. */
const ACTIVE = new Set([".dtb", ".dtbauto", ".hwids", ".ucode", ".initrd", ".linux", ".efifw"]);

/**
 * systemd-stub's clean-up of a command line before it is measured (systemd 257, mangle_stub_cmdline): leading and trailing white space
 * and control characters go, other control characters become spaces.
 */
function mangle(text: string): string {
  const plain = Array.from(text, (character) => (character <= " " ? " " : character)).join("");
  return plain.replace(/^ +| +$/g, "");
}

/**
 * Reads a UKI addon that holds a command line only (systemd-stub(7), "UKI addons").
 * @throws MeasureError PE_MALFORMED, ADDON_UNSUPPORTED
 */
export function parseAddon(bytes: Uint8Array): AddonMeasurement {
  const file = parsePe(bytes);
  const active = file.sections.find(({ name }) => ACTIVE.has(name));
  const lines = file.sections.filter(({ name }) => name === ".cmdline");
  const [line] = lines;
  if (active !== undefined || line === undefined || lines.length !== 1) {
    throw new MeasureError("ADDON_UNSUPPORTED", {
      expected: "one .cmdline section only",
      actual: active?.name ?? `${lines.length}`,
    });
  }
  const content = sectionContent(file, line);
  if (content.some((byte) => byte > 0x7e))
    throw new MeasureError("ADDON_UNSUPPORTED", { expected: "ASCII", actual: "other bytes" });
  const [text = ""] = Buffer.from(content).toString("latin1").split("\0", 1);
  const commandLine = mangle(text);
  if (commandLine === "") throw new MeasureError("ADDON_UNSUPPORTED", { expected: "a command line", actual: "an empty one" });
  return { authenticode: authenticodeOf(file), commandLine, commandLineDigest: commandLineDigest(commandLine) };
}

/** Digest of a command line as systemd-stub extends it into PCR 12: UTF-16LE with its terminating NUL. */
export function commandLineDigest(commandLine: string): Sha256 {
  return sha256(Buffer.from(`${commandLine}\0`, "utf16le"));
}
