import { existsSync } from "node:fs";
import { canonicalJson, type JsonValue } from "@secai/formats/canonical-json";
import { outputOf } from "./runtime-command-output.ts";
import { RuntimeError } from "./runtime-errors.ts";
import { digestOf, readWhole } from "./runtime-files.ts";
import { orGone } from "./runtime-procfs.ts";
import { type RunningState, visible } from "./runtime-state.ts";

export const RULESET_FILE = "/etc/nftables.conf";
const LIMIT_MS = 20_000;
const MAX_TABLES_BYTES = 4096;
/** What differs between two loads of the same file (libnftables-json(5)): identity and history, not meaning. */
const HISTORY = new Set(["handle", "index", "packets", "bytes", "expires"]);
/** Members that hold a set: their order means nothing. */
const SETS = new Set(["set", "elem"]);

function normal(value: JsonValue, key = ""): JsonValue {
  if (Array.isArray(value)) {
    const items = value.map((item) => normal(item as JsonValue));
    return SETS.has(key) ? items.sort((a, b) => (canonicalJson(a) < canonicalJson(b) ? -1 : 1)) : items;
  }
  if (typeof value !== "object" || value === null) return value;
  const members = Object.entries(value).filter(([name]) => !HISTORY.has(name));
  return Object.fromEntries(members.map(([name, member]) => [name, normal(member as JsonValue, name)]));
}

/**
 * The output of `nft -j list ruleset` as lines that are equal for equal rules: one object a line, in order.
 * @throws RuntimeError STATE_COMMAND_FAILED when it is something else
 */
export function normalRuleset(json: string): readonly string[] {
  const document = JSON.parse(json) as { readonly nftables?: unknown };
  if (!Array.isArray(document.nftables)) {
    throw new RuntimeError("STATE_COMMAND_FAILED", { expected: "nft -j to print a ruleset", actual: "another document" });
  }
  return (document.nftables as readonly JsonValue[])
    .filter((item) => typeof item === "object" && item !== null && !Object.hasOwn(item, "metainfo"))
    .map((item) => canonicalJson(normal(item)).replaceAll(/[^ -~]/gu, "?"));
}

/** Tables of the older packet filter, which `nft` does not list: any is one too many. */
export function legacyTables(root = ""): readonly string[] {
  return ["ip", "ip6", "arp"].flatMap((family) => {
    const names = orGone(() => readWhole(`${root}/proc/net/${family}_tables_names`, MAX_TABLES_BYTES))?.toString("latin1") ?? "";
    return names.split("\n").flatMap((name) => (name === "" ? [] : [visible(`legacy ${family} table ${name}`)]));
  });
}

function loaded(): readonly string[] | null {
  return attempt(() => [
    ...normalRuleset(outputOf({ argv: ["nft", "-j", "list", "ruleset"], limitMs: LIMIT_MS })),
    ...legacyTables(),
  ]);
}

/** A network namespace of its own, gone when the commands end: the kernel itself says what the file means. */
function expected(): readonly string[] | null {
  const script = `nft -f ${RULESET_FILE} && exec nft -j list ruleset`;
  return attempt(() => normalRuleset(outputOf({ argv: ["unshare", "--net", "sh", "-c", script], limitMs: LIMIT_MS })));
}

/** A ruleset that cannot be read or loaded is a finding, not the end of the collection. */
function attempt(list: () => readonly string[]): readonly string[] | null {
  try {
    return list();
  } catch (error) {
    if (error instanceof RuntimeError || error instanceof SyntaxError) return null;
    throw error;
  }
}

export function collectFirewall(): RunningState["firewall"] {
  return { file: existsSync(RULESET_FILE) ? digestOf(RULESET_FILE) : null, loaded: loaded(), expected: expected() };
}
