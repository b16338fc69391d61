/** One installed package of a distribution, whatever its package manager. */
export interface InstalledPackage {
  /** Names it in the document, once: "deb:bash:amd64", "rpm:bash:5.2-1.fc42:x86_64". */
  readonly ref: string;
  readonly name: string;
  /** The whole of it, with epoch and revision. */
  readonly version: string;
  readonly architecture: string;
  readonly supplier: string;
  readonly homepage: string | undefined;
  /** What it was built from: the name that security trackers use. */
  readonly source: { readonly name: string; readonly version: string };
  /** One list of alternatives per dependency, names only. */
  readonly depends: readonly (readonly string[])[];
  readonly provides: readonly string[];
  /** Absolute paths it installed: files, links and directories. */
  readonly paths: readonly string[];
  /** The package database's own record of contents by absolute path, in hex: MD5 (32 digits) of dpkg, SHA-256 (64) of rpm. */
  readonly digests: ReadonlyMap<string, string>;
}
