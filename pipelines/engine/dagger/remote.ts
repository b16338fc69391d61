import type { Sha256 } from "@secai/formats/digest";
import { PACKED_NAME, type Pack, UNPACK_OPTIONS } from "./pack.ts";
import type { SdkClient, SdkContainer, SdkDirectory, SdkFile } from "./sdk.ts";

/** Everything of ours inside a container lies here; the sandbox of a step shows none of it but what it binds. */
export const PLACE = "/secai";
export const RESULT_FILE = `${PLACE}/result/out.tar`;

/** Prefix of the line by which the launcher tells a step's exit status from a failure of its own. */
export const STATUS_MARK = "secai-step-status";

const UNPACK_SCRIPT = `set -eu
echo "$1  ${PLACE}/pack.tar" | sha256sum -c - >/dev/null
shift
mkdir -p ${PLACE}/tree
exec tar "$@" --file=${PLACE}/pack.tar --directory=${PLACE}/tree`;

/**
 * A pack as a folder of the runner. The runner hashes the pack before it unpacks it, so neither a broken transfer nor a step that
 * the runner quietly ran again with another result goes further. The engine keeps the folder by the pack's content.
 */
export function unpackThere(launcher: SdkContainer, file: SdkFile, sha256: Sha256): SdkDirectory {
  return launcher
    .withMountedFile(`${PLACE}/pack.tar`, file)
    .withExec(["/bin/sh", "-c", UNPACK_SCRIPT, "sh", sha256, ...UNPACK_OPTIONS], { insecureRootCapabilities: true })
    .directory(`${PLACE}/tree`);
}

/** A pack of this machine, sent. */
export const sendPack = (client: SdkClient, launcher: SdkContainer, pack: Pack): SdkDirectory =>
  unpackThere(launcher, client.host().file(pack.path), pack.sha256);

/** Runs "$@" (a sandbox command) and packs /out. A step's own failure is told apart by the marked line on standard error. */
const STEP_SCRIPT = `set -eu
umask 022
mkdir -p ${PLACE}/step/out ${PLACE}/step/tmp ${PLACE}/result
chmod 1777 ${PLACE}/step/tmp
options=$1
shift
status=0
"$@" || status=$?
if test $status != 0; then echo "${STATUS_MARK} $status" >&2; exit 1; fi
tar $options --create --file=${RESULT_FILE} --directory=${PLACE}/step/out .
rm -rf ${PLACE}/step`;

/** The argv that runs a sandbox command in a container and leaves the pack of its /out at RESULT_FILE. */
export function stepArguments(packOptions: readonly string[], sandbox: readonly string[]): string[] {
  // The options hold a "*": without -f the shell would look for such files.
  return ["/bin/sh", "-fc", STEP_SCRIPT, "sh", packOptions.join(" "), ...sandbox];
}

/** Where the one thing of an unpacked pack is, seen from inside. */
export const packedAt = (mount: string): string => `${mount}/${PACKED_NAME}`;
