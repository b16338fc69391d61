import { readdirSync, statSync } from "node:fs";
import { legacyTables, normalRuleset } from "@secai/verify/runtime-collect-firewall";
import { type OpenSocket, socketsIn } from "@secai/verify/runtime-collect-sockets";
import { RuntimeError } from "@secai/verify/runtime-errors";
import { orGone } from "@secai/verify/runtime-procfs";
import { firstDifference, socketName } from "@secai/verify/runtime-state-checks";
import { outputOf } from "./command.ts";
import { MonitorError } from "./errors.ts";
import type { Look } from "./look.ts";
import type { MonitorPolicy } from "./policy.ts";
import { violation } from "./violation.ts";

/**
 * Sockets of every network namespace that has a process. The tables of one namespace have inodes of their own, which tells namespaces
 * apart without the links of /proc/PID/ns. Which process holds a socket cannot be seen from below Landlock; its user can.
 */
export function lookAtListeners(prefix: string, rules: MonitorPolicy["listeners"]): Look {
  const namespaces = new Map<number, string>();
  for (const pid of readdirSync(`${prefix}/proc`).filter((name) => /^[1-9][0-9]{0,9}$/.test(name))) {
    const table = orGone(() => statSync(`${prefix}/proc/${pid}/net/tcp`))?.ino;
    if (table !== undefined && !namespaces.has(table)) namespaces.set(table, `${prefix}/proc/${pid}/net`);
  }
  const sockets = new Map(
    [...namespaces.values()].flatMap((folder) => socketsIn(folder).map((one) => [one.inode, one] as const)),
  );
  const violations = [...sockets.values()]
    .filter((socket) => !rules.some((rule) => fits(rule, socket)))
    .map((socket) => violation("listener", socketName(socket), "unexpected", "no such socket", `held by uid ${socket.uid}`));
  return { violations };
}

function fits({ protocol, address, port, uids: [first, last] }: MonitorPolicy["listeners"][number], socket: OpenSocket): boolean {
  const isPlace =
    protocol === socket.protocol && (address === "*" || address === socket.address) && (port ?? socket.port) === socket.port;
  return isPlace && first <= socket.uid && socket.uid <= last;
}

const NFT_LIMIT_MS = 20_000;

/** The rules in force as lines that are equal for equal rules; null if they cannot be listed. Needs CAP_NET_ADMIN and AF_NETLINK. */
export async function takeRuleset(prefix: string): Promise<readonly string[] | null> {
  try {
    const json = await outputOf([`${prefix}/usr/sbin/nft`, "-j", "list", "ruleset"], NFT_LIMIT_MS);
    return parseRuleset(prefix, json);
  } catch (error) {
    if (error instanceof RuntimeError || error instanceof SyntaxError || error instanceof MonitorError) return null;
    throw error;
  }
}

/** @throws RuntimeError, SyntaxError for what is no output of `nft -j list ruleset` */
export function parseRuleset(prefix: string, json: string): readonly string[] {
  return [...normalRuleset(json), ...legacyTables(prefix)];
}

export function lookAtFirewall(expected: readonly string[], actual: readonly string[] | null): Look {
  const difference = firstDifference(expected, actual);
  if (difference === undefined) return { violations: [] };
  return { violations: [violation("firewall", "ruleset", "changed", difference.expected, difference.actual)] };
}

/**
 * Hooks at which no chain drops what no rule lets through: a ruleset with such a hook is open, and the first one that a machine shows is not
 * believed to be right just because it is the first.
 */
export function openHooks(ruleset: readonly string[], hooks: readonly string[]): readonly string[] {
  const chains = ruleset
    .filter((line) => line.startsWith('{"chain":'))
    .map((line) => (JSON.parse(line) as { chain: object }).chain);
  const closed = new Set(
    chains.flatMap((chain) => {
      const { hook, policy, type, family } = chain as Readonly<Record<string, unknown>>;
      return policy === "drop" && type === "filter" && family === "inet" ? [hook] : [];
    }),
  );
  return hooks.filter((hook) => !closed.has(hook));
}
