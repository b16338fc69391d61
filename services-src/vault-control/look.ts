import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { closed, Instant, Path } from "@secai/kit/api/common";
import { exists, readBounded } from "@secai/kit/files";
import { parseStrictJson } from "@secai/kit/json";
import { shape } from "@secai/kit/schema";
import { type Static, Type } from "@sinclair/typebox";
import { VaultError } from "./errors.ts";
import { type Mount, parseMountinfo } from "./mounts.ts";
import type { Settings } from "./settings.ts";

const MAX_MARKER_BYTES = 4096;

const Marker = Type.Object(
  {
    schema: Type.Literal(1),
    /** The block device or file that holds the LUKS2 volume. */
    source: Path,
    luks_uuid: Type.String({ pattern: "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$" }),
    initialized_at: Instant,
  },
  closed,
);
export type Marker = Static<typeof Marker>;
const marker = shape("vault marker, schema 1", Marker);

/** What the kernel says about the vault. */
export interface Seen {
  /** Everything that is mounted in its place, the lowest first. */
  readonly mounts: readonly Mount[];
  /** Device-mapper UUID of the opened volume; undefined: it is closed. */
  readonly mapperUuid: string | undefined;
}

export async function look({ root, mapper, mount_point }: Settings): Promise<Seen> {
  const mountinfo = await readFile(join(root, "proc/self/mountinfo"), "utf8");
  return {
    mounts: parseMountinfo(mountinfo).filter(({ point }) => point === mount_point),
    mapperUuid: await mapperUuid(root, mapper),
  };
}

async function mapperUuid(root: string, mapper: string): Promise<string | undefined> {
  const block = join(root, "sys/block");
  for (const device of await readdir(block)) {
    const name = await readFile(join(block, device, "dm/name"), "latin1").catch(() => "");
    if (name.trim() === mapper) return (await readFile(join(block, device, "dm/uuid"), "latin1").catch(() => "")).trim();
  }
  return undefined;
}

/** undefined: no vault was set up here. @throws VaultError VAULT_MARKER */
export async function readMarker(path: string): Promise<Marker | undefined> {
  if (!(await exists(path))) return undefined;
  let value: unknown;
  try {
    value = parseStrictJson(await readBounded(path, MAX_MARKER_BYTES));
  } catch (cause) {
    throw new VaultError("VAULT_MARKER", { expected: path, actual: (cause as Error).message, cause });
  }
  if (marker.is(value)) return value;
  const [problem] = marker.problems(value, 1);
  throw new VaultError("VAULT_MARKER", { expected: marker.name, actual: `${problem?.pointer}: ${problem?.message}` });
}

const OPTIONS = ["rw", "nodev", "nosuid", "noexec"];

/** Nothing but the vault that was set up, opened under its own name and mounted as it should be. */
export function isExactlyOpen(
  { mounts, mapperUuid }: Seen,
  { mapper }: Pick<Settings, "mapper">,
  { luks_uuid }: Marker,
): boolean {
  const [mount, ...others] = mounts;
  return (
    mount !== undefined &&
    others.length === 0 &&
    mount.source === `/dev/mapper/${mapper}` &&
    mount.type === "ext4" &&
    OPTIONS.every((option) => mount.options.includes(option)) &&
    mapperUuid === `CRYPT-LUKS2-${luks_uuid.replaceAll("-", "")}-${mapper}`
  );
}

export const isClosed = ({ mounts, mapperUuid }: Seen): boolean => mounts.length === 0 && mapperUuid === undefined;
