import { readdirSync, readlinkSync } from "node:fs";
import { readWhole } from "./runtime-files.ts";
import { namespaces, orGone, processIds, unitOf } from "./runtime-procfs.ts";
import { type Listener, visible } from "./runtime-state.ts";

const MAX_TABLE_BYTES = 4 * 1024 * 1024;
/** Socket states of the kernel (include/net/tcp_states.h): a listening TCP socket, and any socket that is connected to nobody. */
const TCP_LISTEN = "0A";
const CLOSE = "07";

/** A socket that takes what somebody sends, by inode. */
export type OpenSocket = Omit<Listener, "unit"> & { readonly inode: string };

/** IPv4 as the kernel prints it: one word in the byte order of the machine; IPv6: four of them (proc(5), /proc/net/tcp). Little-endian only. */
function parseAddress(hex: string): string {
  const bytes = Buffer.from(hex, "hex");
  bytes.swap32();
  if (bytes.length === 4) return bytes.join(".");
  const groups = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(index * 2).toString(16));
  return new URL(`http://[${groups.join(":")}]`).hostname.slice(1, -1);
}

/** Reads /proc/net/{tcp,udp,raw}[6]: `sl local_address rem_address st ... uid timeout inode`. Lines of connections are left out. */
export function parseInetTable(table: string, protocol: "tcp" | "udp" | "raw"): readonly OpenSocket[] {
  const wanted = protocol === "tcp" ? TCP_LISTEN : CLOSE;
  return table.split("\n").flatMap((line): OpenSocket[] => {
    const row = /^\s*\d+: ([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4}) \S+ ([0-9A-F]{2}) \S+ \S+ \S+\s+(\d+)\s+\d+ (\d+)/.exec(line);
    const [, address = "", port = "", state, uid, inode = ""] = row ?? [];
    if (row === null || state !== wanted) return [];
    return [{ protocol, address: parseAddress(address), port: Number.parseInt(port, 16), uid: Number(uid), inode }];
  });
}

/** Reads /proc/net/packet: `sk RefCnt Type Proto Iface R Rmem User Inode`. The port is the protocol's number (if_ether.h). */
export function parsePacketTable(table: string): readonly OpenSocket[] {
  return table.split("\n").flatMap((line): OpenSocket[] => {
    const row = /^[0-9a-f]+\s+\d+\s+\d+\s+([0-9a-f]{4})\s+\d+\s+\d+\s+\d+\s+(\d+)\s+(\d+)/.exec(line);
    const [, protocol = "", uid, inode = ""] = row ?? [];
    if (row === null) return [];
    return [{ protocol: "packet", address: "*", port: Number.parseInt(protocol, 16), uid: Number(uid), inode }];
  });
}

/** Open sockets of the network namespace whose tables lie in `folder`, e.g. /proc/1/net. */
export function socketsIn(folder: string): readonly OpenSocket[] {
  const table = (name: string) => orGone(() => readWhole(`${folder}/${name}`, MAX_TABLE_BYTES))?.toString("latin1") ?? "";
  const inet = (["tcp", "udp", "raw"] as const).flatMap((protocol) =>
    ["", "6"].flatMap((version) => parseInetTable(table(`${protocol}${version}`), protocol)),
  );
  return [...inet, ...parsePacketTable(table("packet"))];
}

/** Units of the processes that hold sockets, by the sockets' inodes. */
function owners(): ReadonlyMap<string, string | null> {
  const found = new Map<string, string | null>();
  for (const pid of processIds()) {
    for (const fd of orGone(() => readdirSync(`/proc/${pid}/fd`)) ?? []) {
      const inode = /^socket:\[(\d+)\]$/.exec(orGone(() => readlinkSync(`/proc/${pid}/fd/${fd}`)) ?? "")?.[1];
      // PID 1 holds the sockets of its socket units for others: whoever else has it, owns it.
      if (inode !== undefined && (pid !== 1 || !found.has(inode))) found.set(inode, unitOf(pid));
    }
  }
  return found;
}

/** Open sockets of every network namespace that has a process. */
export function collectListeners(): readonly Listener[] {
  const units = owners();
  const sockets = new Map(
    namespaces("net").flatMap(({ pid }) => socketsIn(`/proc/${pid}/net`).map((socket) => [socket.inode, socket])),
  );
  return [...sockets.values()].map(({ inode, ...socket }) => {
    const unit = units.get(inode);
    return { ...socket, unit: unit === undefined || unit === null ? null : visible(unit) };
  });
}
