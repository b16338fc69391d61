import { randomUUID } from "node:crypto";
import { link, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseJson } from "@secai/formats/canonical-json";
import { buildChannel, type Channel } from "@secai/formats/channel";
import type { Designation } from "@secai/formats/designation";
import type { KeyManifest } from "@secai/formats/key-manifest";
import { object, parseShape } from "@secai/formats/shape";
import { lineShape, versionShape } from "@secai/formats/shapes";
import { compareVersions } from "@secai/formats/version-order";
import { ChannelError } from "./errors.ts";

/** How long a channel file may be believed, in days: a developer's own for long, what others rely on is renewed each quarter. */
export const LIFETIME_DAYS: Readonly<Record<Designation, number>> = { dev: 365, candidate: 90, stable: 90 };

export interface ChannelRequest {
  readonly keysDir: string;
  readonly channel: Designation;
  readonly recipe: string;
  readonly version: string;
  /** "sha256:" and hex, as IMAGE_DIGEST says it. */
  readonly imageDigest: string;
  readonly rootHash: string;
  /** The key manifest that the release carries, as `KeySet` has it. */
  readonly keys: { readonly manifest: KeyManifest; readonly sha256: string };
  readonly nextKeys?: Channel["nextKeys"];
  /** Raises the minimum for this and all later releases of the channel. Without it the minimum stays what it was; "0" at first. */
  readonly minimumVersion?: string;
  /** Default: `LIFETIME_DAYS`. */
  readonly lifetimeDays?: number;
  /** Milliseconds since 1970. */
  readonly nowMs?: number;
}

/**
 * The channel file of a new release, with a sequence number that no other file of this channel and recipe has had. A number that was taken for
 * a release which then failed is lost: readers ask for more, not for the next.
 * @throws ChannelError CHANNEL_MINIMUM_LOWERED, CHANNEL_BELOW_MINIMUM, CHANNEL_STATE_BROKEN; FormatError for facts that no reader accepts
 */
export async function issueChannel(request: ChannelRequest): Promise<Channel> {
  const { channel, recipe, version, imageDigest, rootHash, keys } = request;
  const dir = join(request.keysDir, "channels", `${channel}-${recipe}`);
  const last = await lastIssued(dir);
  const minimumVersion = minimumOf(request, last.minimumVersion);
  const facts = {
    channel,
    recipe,
    version,
    minimumVersion,
    imageDigest,
    rootHash,
    keys: { version: keys.manifest.version, sha256: keys.sha256 },
    nextKeys: request.nextKeys ?? null,
    issuedMs: request.nowMs ?? Date.now(),
    lifetimeDays: request.lifetimeDays ?? LIFETIME_DAYS[channel],
  };
  // Refused before a number is taken.
  buildChannel({ ...facts, sequence: last.sequence + 1 });
  const sequence = await takeSequence(dir, last.sequence + 1, { version, minimumVersion, imageDigest });
  return buildChannel({ ...facts, sequence });
}

/** What is kept of a channel file that was issued. */
const recordShape = object({ version: versionShape, minimumVersion: versionShape, imageDigest: lineShape });

interface Issued {
  readonly sequence: number;
  readonly minimumVersion: string;
}

async function lastIssued(dir: string): Promise<Issued> {
  const numbers = (await readdir(dir).catch(emptyIfMissing))
    .filter((name) => /^[1-9]\d*\.json$/.test(name))
    .map(Number.parseFloat);
  if (numbers.length === 0) return { sequence: 0, minimumVersion: "0" };
  const sequence = Math.max(...numbers);
  const path = join(dir, `${sequence}.json`);
  try {
    const { minimumVersion } = parseShape(recordShape, parseJson(await readFile(path), 4096), "a record of a channel file");
    return { sequence, minimumVersion };
  } catch (cause) {
    throw new ChannelError("CHANNEL_STATE_BROKEN", { expected: `a record in ${path}`, actual: (cause as Error).message, cause });
  }
}

function minimumOf({ version, minimumVersion }: ChannelRequest, before: string): string {
  const minimum = minimumVersion ?? before;
  if (compareVersions(minimum, before) < 0)
    throw new ChannelError("CHANNEL_MINIMUM_LOWERED", { expected: `at least ${before}`, actual: minimum });
  if (compareVersions(version, minimum) < 0)
    throw new ChannelError("CHANNEL_BELOW_MINIMUM", { expected: `version ${minimum} or newer`, actual: version });
  return minimum;
}

/** The name of the record is the number, and only one process can make it; it appears with its content or not at all. */
async function takeSequence(dir: string, from: number, record: Readonly<Record<string, string>>): Promise<number> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const draft = join(dir, `.${randomUUID()}`);
  await writeFile(draft, `${JSON.stringify(record)}\n`, { flag: "wx", mode: 0o600, flush: true });
  try {
    let sequence = from;
    while (!(await tryLink(draft, join(dir, `${sequence}.json`)))) sequence++;
    return sequence;
  } finally {
    await rm(draft);
  }
}

async function tryLink(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

function emptyIfMissing(error: NodeJS.ErrnoException): string[] {
  if (error.code === "ENOENT") return [];
  throw error;
}
