import { top } from "../../scripts/house/tree.ts";
import { runImage } from "../reproducible/image-run.ts";

/** A release of this checkout, built when it is not there. @throws VmError HARNESS_TOOL_FAILED */
export async function currentRelease(): Promise<string> {
  return (await runImage({ top, env: process.env })).dir;
}
