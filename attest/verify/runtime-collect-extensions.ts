import { spawnSync } from "node:child_process";
import { statSync } from "node:fs";
import { mergedExtensions } from "@secai/formats/extensions";
import { parseMountInfo } from "./runtime-collect-mounts.ts";
import { readWhole } from "./runtime-files.ts";
import { orGone } from "./runtime-procfs.ts";
import { type OverlayState, visible } from "./runtime-state.ts";
import { parseVerityStatus } from "./runtime-verity.ts";

const MAX_MOUNTINFO_BYTES = 4 * 1024 * 1024;
const VERITYSETUP_LIMIT_MS = 10_000;
const MAX_NAME_BYTES = 256;

/** What device-mapper says of a block device that may be none of its. */
export function verityOf(device: string): Pick<OverlayState["layers"][number], "verity" | "hash"> {
  const name = orGone(() => readWhole(`/sys/dev/block/${device}/dm/name`, MAX_NAME_BYTES).toString("utf8").trim());
  return name === undefined ? { verity: "absent", hash: null } : verityStatus(name);
}

/** Asks `veritysetup status` about a device-mapper name. */
export function verityStatus(name: string): ReturnType<typeof parseVerityStatus> {
  const { stdout } = spawnSync("veritysetup", ["status", "--", name], {
    env: { PATH: "/usr/sbin:/usr/bin", LC_ALL: "C" },
    timeout: VERITYSETUP_LIMIT_MS,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  });
  return parseVerityStatus(stdout ?? "");
}

/** The overlay on /usr in the system's view; undefined when there is none. */
export function collectOverlay(): OverlayState | undefined {
  const mountinfo = readWhole("/proc/1/mountinfo", MAX_MOUNTINFO_BYTES).toString("utf8");
  const merged = mergedExtensions(mountinfo);
  if (merged === undefined) return undefined;
  const mounts = parseMountInfo(mountinfo);
  const layers = merged.layers.map((layer) => {
    const name = visible(layer);
    const mounted = mounts.findLast(({ point }) => point === `/run/extensions/${name}`);
    const device = mounted?.root === "/" ? mounted.device : null;
    return { name, device, ...(device === null ? ({ verity: "absent", hash: null } as const) : verityOf(device)) };
  });
  return { device: merged.device, layers };
}

/**
 * Device numbers, as stat(2) gives them, of files of the sealed root and of the merged extensions. The overlay gives each layer a number of
 * its own, which differs from the one of the file system below: processes that started before the merge still show that.
 */
export function sealedFileDevices(overlay: OverlayState | undefined): ReadonlySet<number> {
  const releases = (overlay?.layers ?? []).map(({ name }) => `/usr/lib/extension-release.d/extension-release.${name}`);
  const devices = ["/", "/usr/lib/os-release", ...releases].map((path) => orGone(() => statSync(path).dev));
  return new Set(devices.filter((device) => device !== undefined));
}
