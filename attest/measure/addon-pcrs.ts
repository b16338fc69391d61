import type { Sha256 } from "@secai/formats/digest";
import { commandLineDigest } from "./addon.ts";
import { initrdPcr } from "./initrd.ts";
import type { Measurements, PredictedPcrs } from "./measurements.ts";
import { replayPcr } from "./pcr.ts";
import { bootPcr } from "./predict.ts";

/** An addon that an owner accepted for a machine: what of it is measured, whatever release it lies beside. */
export interface AcceptedAddon {
  readonly authenticode: Sha256;
  readonly commandLine: string;
}

/** PCR 12 of a machine with this addon and nothing else. */
export function addonPcr({ commandLine }: Pick<AcceptedAddon, "commandLine">): Sha256 {
  return replayPcr([commandLineDigest(commandLine)]);
}

/** What a release promises, with an accepted addon beside it. PCR 7 depends on who signed the addon, so it stays the release's here. */
export function pcrsWithAddon(measurements: Measurements, addon: AcceptedAddon): PredictedPcrs {
  const { commandLine, initrd, bootloader, uki, pcrs } = measurements;
  const { "9": _, ...promised } = pcrs.sha256;
  return {
    ...promised,
    "4": bootPcr([bootloader.authenticode, uki.authenticode, addon.authenticode]),
    ...(initrd === undefined ? {} : { "9": initrdPcr(`${commandLine} ${addon.commandLine}`, initrd) }),
    "12": addonPcr(addon),
  };
}
