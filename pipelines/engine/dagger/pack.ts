import { basename, dirname } from "node:path";
import { type Sha256, sha256File } from "@secai/formats/digest";
import { runTool } from "../../run-tool.ts";
import { EngineError } from "../errors.ts";
import { DaggerError } from "./errors.ts";

/** A file or folder as one tar file, with everything a step can see of it. */
export interface Pack {
  readonly path: string;
  readonly sha256: Sha256;
}

/**
 * GNU tar with numbers for owners, extended attributes, holes, and headers that do not depend on when and by whom it was packed. Dagger's
 * own way of sending folders gives every file to root, which is no way to send a root file system.
 */
export const PACK_OPTIONS = [
  ...["--format=posix", "--pax-option=exthdr.name=%d/pax/%f,delete=atime,delete=ctime", "--sort=name"],
  ...["--numeric-owner", "--xattrs", "--xattrs-include=*", "--sparse", "--one-file-system"],
] as const;
export const UNPACK_OPTIONS = [
  "--extract",
  "--preserve-permissions",
  "--same-owner",
  "--numeric-owner",
  "--xattrs",
  "--xattrs-include=*",
] as const;

/** The name of the one thing in a pack. */
export const PACKED_NAME = "content";

/** Packs `source` under the name "content". @throws DaggerError DAGGER_TRANSFER, EngineError BUILD_CANCELLED */
export async function pack(source: string, path: string, signal: AbortSignal): Promise<Pack> {
  const folder = dirname(source);
  // Of members and of what hard links point to, but not of symbolic links ("S"): those are content.
  const rename = `--transform=flags=rhS;s|^${quoteForSed(basename(source))}|${PACKED_NAME}|`;
  await tar([...PACK_OPTIONS, "--create", rename, `--file=${path}`, `--directory=${folder}`, "--", basename(source)], signal);
  return { path, sha256: await sha256File(path) };
}

/** Unpacks what a runner sent into `folder`, which is there. @throws DaggerError DAGGER_TRANSFER, EngineError BUILD_CANCELLED */
export async function unpack(path: string, folder: string, signal: AbortSignal): Promise<void> {
  await tar([...UNPACK_OPTIONS, `--file=${path}`, `--directory=${folder}`], signal);
}

async function tar(args: readonly string[], signal: AbortSignal): Promise<void> {
  const { status, stderr } = await runTool("tar", args, {}, signal).catch((error: Error) => ({
    status: -1,
    stderr: error.message,
  }));
  if (signal.aborted) throw new EngineError("BUILD_CANCELLED");
  if (status !== 0)
    throw new DaggerError("DAGGER_TRANSFER", { expected: "tar to succeed", actual: `${status}: ${stderr.trim().slice(0, 300)}` });
}

const quoteForSed = (text: string): string => text.replaceAll(/[\\.*[\]^$|&]/g, "\\$&");
