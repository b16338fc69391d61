import { existsSync, readFileSync } from "node:fs";
import { parseCanonicalJson } from "@secai/formats/canonical-json";
import { literal, object, parseShape, table } from "@secai/formats/shape";
import { lineShape, sha256Shape } from "@secai/formats/shapes";
import { MAX_EVENT_LOG_BYTES } from "@secai/measure/event-log";
import { MAX_USERSPACE_LOG_BYTES } from "@secai/measure/userspace-log";
import { verityStatus } from "./runtime-collect-extensions.ts";
import { collectState } from "./runtime-collect-state.ts";
import type { Evidence } from "./runtime-evidence.ts";
import { readWhole } from "./runtime-files.ts";
import { MACHINE_TPM, quoteTpm, type TpmAccess } from "./runtime-tpm.ts";

const EVENT_LOG = "/sys/kernel/security/tpm0/binary_bios_measurements";
const USERSPACE_LOG = "/run/log/systemd/tpm2-measure.log";
const SECURE_BOOT = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
const SERVICE_MANIFEST = "/usr/lib/secure-ai/services.json";
/** Name that veritysetup-generator gives the device below the root file system. */
const VERITY_DEVICE = "root";
const MAX_SMALL_BYTES = 64 * 1024;
const MAX_MANIFEST_BYTES = 1024 * 1024;

/** @throws RuntimeError EVIDENCE_TOO_LARGE */
function readLimited(path: string, maxBytes: number): Buffer | undefined {
  return existsSync(path) ? readWhole(path, maxBytes) : undefined;
}

function secureBootState(): Evidence["secureBoot"] {
  // Four bytes of attributes, then the value (efivarfs documentation of the kernel).
  const variable = readLimited(SECURE_BOOT, 16);
  if (variable?.length !== 5) return "unknown";
  return variable[4] === 1 ? "enabled" : "disabled";
}

function field(text: string, pattern: RegExp): string {
  return pattern.exec(text)?.[1] ?? "";
}

function rootState(): Evidence["root"] {
  const mounts = readLimited("/proc/self/mounts", MAX_MANIFEST_BYTES)?.toString("utf8") ?? "";
  const options = field(mounts, /^\S+ \/ \S+ (\S+)/m).split(",");
  return { ...verityStatus(VERITY_DEVICE), readOnly: options.includes("ro") };
}

/** IMAGE_ID and IMAGE_VERSION of os-release(5), which may be quoted. */
export function parseImageRelease(osRelease: string): Evidence["release"] {
  return {
    imageId: field(osRelease, /^IMAGE_ID="?([a-z0-9._-]{0,64})"?$/m),
    imageVersion: field(osRelease, /^IMAGE_VERSION="?([0-9A-Za-z.+~-]{0,64})"?$/m),
  };
}

const serviceManifestShape = object({
  schema: literal(1),
  services: table(/^[a-z0-9][a-z0-9-]{0,63}$/, object({ path: lineShape, sha256: sha256Shape })),
});

/** @throws FormatError when the sealed manifest is not one */
function allowedServices(): Evidence["services"] {
  const bytes = readLimited(SERVICE_MANIFEST, MAX_MANIFEST_BYTES);
  if (bytes === undefined) return undefined;
  const { services } = parseShape(serviceManifestShape, parseCanonicalJson(bytes, MAX_MANIFEST_BYTES), "a service manifest");
  return Object.fromEntries(Object.entries(services).map(([name, { sha256 }]) => [name, sha256]));
}

/**
 * Gathers the evidence of the machine this runs on. Needs root. Without a TPM there is no quote, which no verifier accepts.
 * @throws RuntimeError TPM_COMMAND_FAILED, STATE_COMMAND_FAILED, EVIDENCE_TOO_LARGE; FormatError for a service manifest that is none
 */
export function collectEvidence(nonce: string, tpm: TpmAccess = MACHINE_TPM): Evidence {
  return {
    nonce,
    quote: existsSync("/dev/tpmrm0") ? quoteTpm(nonce, tpm) : undefined,
    eventLog: readLimited(EVENT_LOG, MAX_EVENT_LOG_BYTES),
    userspaceLog: readLimited(USERSPACE_LOG, MAX_USERSPACE_LOG_BYTES),
    commandLine: readFileSync("/proc/cmdline", "latin1").trim(),
    secureBoot: secureBootState(),
    root: rootState(),
    release: parseImageRelease(readLimited("/usr/lib/os-release", MAX_SMALL_BYTES)?.toString("utf8") ?? ""),
    services: allowedServices(),
    running: collectState(tpm.scratch),
  };
}
