import { cacheDirectory } from "../../pipelines/engine/command.ts";
import { readBuild } from "../reproducible/records.ts";
import { VmError } from "../vm/errors.ts";
import { currentRelease } from "./current-release.ts";
import type { Figure } from "./figure.ts";

/** How long the image's SBOM took, in JSON and XML with the second reader's check, as the step that made it recorded. */
export async function measureSbom(): Promise<readonly Figure[]> {
  const { steps } = await readBuild(await currentRelease(), cacheDirectory(process.env));
  const step = steps.get("sbom.image");
  if (step === undefined) throw new VmError("HARNESS_PROTOCOL", { expected: "a step sbom.image", actual: "none" });
  const value = (Date.parse(step.finishedOn) - Date.parse(step.startedOn)) / 1000;
  return [
    {
      id: "sbom.image",
      title: "SBOM of the image, with its cross-check",
      unit: "s",
      value,
      budget: { limit: 60, kind: "at most" },
    },
  ];
}
