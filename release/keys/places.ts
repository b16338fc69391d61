import { bundleOf, furtherBundleOf } from "@secai/formats/release-layout";

// Names inside a keys directory. A release has the same below keys/.

export const MANIFEST_NAME = "keys.json";
export const HISTORY = "history";
export const historyName = (version: number): string => `${HISTORY}/${version}.json`;

/** First 16 hex digits of a fingerprint: short enough for a file name, long enough to tell keys apart. */
export const tagOf = (fingerprint: string): string => fingerprint.slice(0, 16);

/** Where the signature of the `index`-th signer of a file lies. */
export const signatureName = (file: string, index: number, fingerprint: string): string =>
  index === 0 ? bundleOf(file) : furtherBundleOf(file, tagOf(fingerprint));
