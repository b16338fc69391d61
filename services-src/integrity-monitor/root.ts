import { parseMountInfo } from "@secai/verify/runtime-collect-mounts";
import { readWhole } from "@secai/verify/runtime-files";
import { orGone } from "@secai/verify/runtime-procfs";
import { MonitorError } from "./errors.ts";
import { mapperUuid } from "./look-mounts.ts";

const MAX_BYTES = 4 << 20;

/**
 * The root hash that the kernel's command line names, if the root is what that promises: erofs on a dm-verity device. (Whether the device
 * really has that hash, and whether it found damage, only root can ask; the attestor does. Damage shows here as a file that cannot be read.)
 * @throws MonitorError ROOT_UNSEALED
 */
export function sealedRootHash(prefix: string): string {
  const text = (path: string) => orGone(() => readWhole(prefix + path, MAX_BYTES).toString("utf8")) ?? "";
  const hash = /(?:^|\s)roothash=([0-9a-f]{64})(?:\s|$)/.exec(text("/proc/cmdline"))?.[1];
  if (hash === undefined) throw new MonitorError("ROOT_UNSEALED", { expected: "roothash= on the command line", actual: "none" });
  const root = parseMountInfo(text("/proc/1/mountinfo")).find(({ point }) => point === "/");
  const uuid = root === undefined ? undefined : mapperUuid(prefix, root.device);
  if (root?.type === "erofs" && uuid?.startsWith("CRYPT-VERITY-") === true) return hash;
  throw new MonitorError("ROOT_UNSEALED", {
    expected: "erofs on dm-verity at /",
    actual: `${root?.type ?? "nothing"} on ${uuid ?? "another device"}`,
  });
}
