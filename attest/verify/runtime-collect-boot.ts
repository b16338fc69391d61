import { join } from "node:path";
import { parseCanonicalJson } from "@secai/formats/canonical-json";
import { literal, object, parseShape, type TypeOf, table } from "@secai/formats/shape";
import { lineShape, sha256Shape } from "@secai/formats/shapes";
import { MAX_EVENT_LOG_BYTES } from "@secai/measure/event-log";
import { MAX_USERSPACE_LOG_BYTES } from "@secai/measure/userspace-log";
import type { Evidence } from "./runtime-evidence.ts";
import { readWhole } from "./runtime-files.ts";
import { orGone } from "./runtime-procfs.ts";

const EVENT_LOG = "/sys/kernel/security/tpm0/binary_bios_measurements";
const USERSPACE_LOG = "/run/log/systemd/tpm2-measure.log";
const SECURE_BOOT = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
const SERVICE_MANIFEST = "/usr/lib/secure-ai/services.json";
const MAX_SMALL_BYTES = 64 * 1024;
const MAX_MANIFEST_BYTES = 1024 * 1024;

/** What a machine tells of its boot in files. Their readers need no more than the right to read them. */
export type BootFiles = Pick<Evidence, "eventLog" | "userspaceLog" | "commandLine" | "secureBoot" | "release" | "services">;

/**
 * Undefined when there is none. Not asked with access(2) before: that goes by the real user alone, and a capability to read would not count.
 * @throws RuntimeError EVIDENCE_TOO_LARGE
 */
function readLimited(path: string, maxBytes: number): Buffer | undefined {
  return orGone(() => readWhole(path, maxBytes));
}

function secureBootState(root: string): Evidence["secureBoot"] {
  // Four bytes of attributes, then the value (efivarfs documentation of the kernel).
  const variable = readLimited(join(root, SECURE_BOOT), 16);
  if (variable?.length !== 5) return "unknown";
  return variable[4] === 1 ? "enabled" : "disabled";
}

function field(text: string, pattern: RegExp): string {
  return pattern.exec(text)?.[1] ?? "";
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
type ServiceManifest = TypeOf<typeof serviceManifestShape>["services"];

/** Which bundles the sealed manifest lets run; undefined without one. @throws FormatError when it is none */
export function readServiceManifest(root = "/"): ServiceManifest | undefined {
  const bytes = readLimited(join(root, SERVICE_MANIFEST), MAX_MANIFEST_BYTES);
  if (bytes === undefined) return undefined;
  return parseShape(serviceManifestShape, parseCanonicalJson(bytes, MAX_MANIFEST_BYTES), "a service manifest").services;
}

/** @throws FormatError when the sealed manifest is not one */
function allowedServices(root: string): Evidence["services"] {
  const services = readServiceManifest(root);
  return services && Object.fromEntries(Object.entries(services).map(([name, { sha256 }]) => [name, sha256]));
}

/**
 * @param root where the machine's file system begins
 * @throws RuntimeError EVIDENCE_TOO_LARGE; FormatError for a service manifest that is none; whatever the system says about an unreadable file
 */
export function collectBoot(root = "/"): BootFiles {
  return {
    eventLog: readLimited(join(root, EVENT_LOG), MAX_EVENT_LOG_BYTES),
    userspaceLog: readLimited(join(root, USERSPACE_LOG), MAX_USERSPACE_LOG_BYTES),
    commandLine: readWhole(join(root, "/proc/cmdline"), MAX_SMALL_BYTES).toString("latin1").trim(),
    secureBoot: secureBootState(root),
    release: parseImageRelease(readLimited(join(root, "/usr/lib/os-release"), MAX_SMALL_BYTES)?.toString("utf8") ?? ""),
    services: allowedServices(root),
  };
}
