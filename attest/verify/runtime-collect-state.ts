import { collectOverlay, sealedFileDevices } from "./runtime-collect-extensions.ts";
import { collectFiles } from "./runtime-collect-files.ts";
import { collectFirewall } from "./runtime-collect-firewall.ts";
import { collectModules, collectSysctl } from "./runtime-collect-kernel.ts";
import { collectMounts } from "./runtime-collect-mounts.ts";
import { collectProcesses } from "./runtime-collect-processes.ts";
import { collectListeners } from "./runtime-collect-sockets.ts";
import { collectUnits } from "./runtime-collect-units.ts";
import type { RunningState } from "./runtime-state.ts";

/**
 * A snapshot of the running system, as root sees it. It changes nothing: generators and the ruleset run in places of their own.
 * @param scratch folder in memory for temporary files
 * @throws RuntimeError STATE_COMMAND_FAILED, EVIDENCE_TOO_LARGE
 */
export function collectState(scratch: string): RunningState {
  const { mounts, rootDevice } = collectMounts();
  // Processes and sockets first: the commands below start some of their own, which end before the next is looked at.
  const overlay = collectOverlay();
  const mapped = new Set([rootDevice, ...(overlay === undefined ? [] : [overlay.device])]);
  const processes = collectProcesses({ files: sealedFileDevices(overlay), mapped });
  const listeners = collectListeners();
  return {
    processes,
    listeners,
    mounts,
    rootDevice,
    ...(overlay === undefined ? {} : { overlay }),
    files: collectFiles(),
    sysctl: collectSysctl(),
    modules: collectModules(),
    firewall: collectFirewall(),
    ...collectUnits(scratch),
  };
}
