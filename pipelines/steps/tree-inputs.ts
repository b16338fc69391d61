import type { Input } from "../step.ts";
import { outputOf } from "./exec.ts";

// Inputs that steps of either kind of image share: overlays, bundles, and the SBOMs of services.

/** Overlays below one folder, in the order in which they are laid over a root. */
export const overlayInputs = (overlays: readonly Input[]): Record<string, Input> =>
  Object.fromEntries(overlays.map((input, index) => [`/in/overlay/${index}`, input]));

/** The same of folders of the repository. */
export const overlaySources = (overlays: readonly string[]): Record<string, Input> =>
  overlayInputs(overlays.map((path) => ({ kind: "source", path })));

/** The flag that names them to a program. */
export const overlayPaths = (overlays: readonly unknown[]): string =>
  overlays.map((_, index) => `/in/overlay/${index}`).join(",");

/** Bundles below one folder of a step. */
export const bundleInputs = (folder: string, names: readonly string[]): Record<string, Input> =>
  Object.fromEntries(names.map((name) => [`/in/${folder}/${name}.mjs`, outputOf(`bundle.${name}`, "bundle")]));
