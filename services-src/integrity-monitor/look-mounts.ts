import { readdirSync } from "node:fs";
import { mergedExtensions, parseExtensions } from "@secai/formats/extensions";
import { parseMountInfo, relevantMounts } from "@secai/verify/runtime-collect-mounts";
import { readWhole } from "@secai/verify/runtime-files";
import { orGone, parseUnit } from "@secai/verify/runtime-procfs";
import { isSealedPath, type MountState, type OverlayState, visible } from "@secai/verify/runtime-state";
import { isExpectedMount } from "@secai/verify/runtime-state-checks";
import type { Look } from "./look.ts";
import type { MonitorPolicy } from "./policy.ts";
import { type Violation, violation } from "./violation.ts";

const MAX_MOUNTINFO_BYTES = 4 << 20;
const MAX_SMALL_BYTES = 64 << 10;
const EXTENSIONS = "/usr/lib/secure-ai/extensions.json";
const MAX_EXTENSIONS_BYTES = 1 << 18;
/** Flag of /proc/PID/stat, field 9: a kernel thread (include/linux/sched.h, PF_KTHREAD). They run no program in any view of ours. */
const KERNEL_THREAD = 0x0020_0000;

export interface Mounts {
  look(policy: MonitorPolicy["mounts"]): Look;
  /** The mounts over sealed paths that should not be there, as of the last look: what lies below them is not the root's. */
  covers(): readonly string[];
  /** Names of the merged system extensions. */
  extensions(): readonly string[];
}

/**
 * /proc/PID/mountinfo of every process: it is readable for everybody, unlike the links of /proc/PID/ns, which Landlock hides from those
 * below it. Equal text is the same namespace. Another namespace than the system's has to look wrong twice in a row: while systemd
 * sets one up, it passes through states that no service ever sees.
 */
export function createMounts(prefix: string): Mounts {
  let covers: readonly string[] = [];
  let extensions: readonly string[] = [];
  let suspects = new Set<string>();
  return {
    look({ allowed }) {
      const own = textOf(`${prefix}/proc/1/mountinfo`);
      if (own === undefined)
        return { violations: [violation("mount", "/proc/1/mountinfo", "unreadable", "the system's mounts", "not there")] };
      const mounts = parseMountInfo(own);
      const merged = mergedExtensions(own);
      const layers = merged?.layers.map(visible) ?? [];
      extensions = layers;
      const overlay = merged === undefined ? undefined : { device: merged.device, layers: [] as OverlayState["layers"] };
      const rootDevice = mounts.find(({ point }) => point === "/")?.device ?? "0:0";
      const surroundings = { rootDevice, ...(overlay === undefined ? {} : { overlay }) };
      const isWrong = (mount: MountState) =>
        !isExpectedMount(mount, surroundings) &&
        !allowed.some(({ point, types }) => mount.view === null && point === mount.point && types.includes(mount.type));
      const system = relevantMounts(mounts, null).filter(isWrong);
      // What the system's own view passed on is told once, and not again with every service that starts below it.
      const passedOn = new Set(system.map(placeOf));
      const others = otherViews(prefix, own).flatMap(({ view, text }) =>
        relevantMounts(parseMountInfo(text), view).filter((mount) => isWrong(mount) && !passedOn.has(placeOf(mount))),
      );
      const isNew = new Set(others.map(nameOf));
      const confirmed = others.filter((mount) => suspects.has(nameOf(mount)));
      const unsure = isNew.size > confirmed.length;
      suspects = isNew;
      covers = system.map(({ point }) => point).filter((point) => isSealedPath(point));
      return {
        violations: [
          ...[...system, ...confirmed].map(toViolation),
          ...layers.flatMap((name) => layerMistakes(prefix, name, mounts)),
        ],
        ...(unsure ? { againMs: 500 } : {}),
      };
    },
    covers: () => covers,
    extensions: () => extensions,
  };
}

const placeOf = ({ point, type, device, root }: MountState): string => `${point} ${type} ${device} ${root}`;
const nameOf = (mount: MountState): string => `${mount.view} ${placeOf(mount)}`;

function toViolation({ view, point, type, device, root }: MountState): Violation {
  return violation("mount", view === null ? point : `${point} in ${view}`, "unexpected", "no mount", `${type} ${device} ${root}`);
}

/** An extension must be one of the sealed root's list, mounted whole from a dm-verity device; which root hash that has is the attestor's question. */
function layerMistakes(prefix: string, name: string, mounts: ReturnType<typeof parseMountInfo>): readonly Violation[] {
  const known = orGone(() => parseExtensions(readWhole(`${prefix}${EXTENSIONS}`, MAX_EXTENSIONS_BYTES)))?.extensions ?? [];
  if (!known.some((one) => one.name === name))
    return [violation("mount", `/usr: ${name}`, "unexpected", "an extension of the release", "another")];
  const mounted = mounts.findLast(({ point }) => point === `/run/extensions/${name}`);
  const uuid = mounted?.root === "/" ? mapperUuid(prefix, mounted.device) : undefined;
  if (uuid?.startsWith("CRYPT-VERITY-") === true) return [];
  return [violation("mount", `/usr: ${name}`, "covered", "a dm-verity device", uuid ?? "none")];
}

/** Device-mapper UUID of a block device; undefined if it is none of its. */
export function mapperUuid(prefix: string, device: string): string | undefined {
  return orGone(() => readWhole(`${prefix}/sys/dev/block/${device}/dm/uuid`, MAX_SMALL_BYTES).toString("latin1").trim());
}

function otherViews(prefix: string, own: string): readonly { readonly view: string; readonly text: string }[] {
  const views = new Map<string, string>();
  for (const pid of readdirSync(`${prefix}/proc`).filter((name) => /^[1-9][0-9]{0,9}$/.test(name))) {
    const text = pid === "1" ? undefined : textOf(`${prefix}/proc/${pid}/mountinfo`);
    if (text === undefined || text === "" || text === own || views.has(text) || isKernelThread(prefix, pid)) continue;
    const cgroup = textOf(`${prefix}/proc/${pid}/cgroup`) ?? "";
    views.set(text, visible(parseUnit(cgroup) ?? `process ${pid}`));
  }
  return [...views].map(([text, view]) => ({ text, view }));
}

function isKernelThread(prefix: string, pid: string): boolean {
  // The name, in parentheses, may hold anything; the fields after it cannot.
  const flags = /\) \S+(?: \S+){5} (\d+) /.exec(textOf(`${prefix}/proc/${pid}/stat`)?.replace(/^.*\) /s, ") ") ?? "")?.[1];
  return (Number(flags ?? 0) & KERNEL_THREAD) !== 0;
}

function textOf(path: string): string | undefined {
  try {
    return readWhole(path, MAX_MOUNTINFO_BYTES).toString("utf8");
  } catch (error) {
    // Not there any more, or (EACCES, EPERM) somebody whose view may not be looked at.
    if (["ENOENT", "ESRCH", "EINVAL", "ENOTDIR", "EACCES", "EPERM"].includes((error as NodeJS.ErrnoException).code ?? ""))
      return undefined;
    throw error;
  }
}
