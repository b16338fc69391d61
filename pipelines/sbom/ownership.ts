import type { Sha256 } from "@secai/formats/digest";
import { SbomError } from "./errors.ts";
import type { InstalledPackage } from "./package.ts";
import type { RootFile } from "./root-files.ts";

/** Who put a file into the image. `package` is a package's ref; `generator` the program that wrote it while packages were set up. */
export type Owner =
  | { readonly kind: "package"; readonly package: string; readonly how: "listed" | "copied"; readonly modified: boolean }
  | { readonly kind: "appliance" }
  | { readonly kind: "generated"; readonly generator: string }
  | { readonly kind: "unowned" };

export interface Ownership {
  readonly file: RootFile;
  readonly owner: Owner;
}

export interface OwnershipInputs {
  readonly files: readonly RootFile[];
  readonly packages: readonly InstalledPackage[];
  readonly diversions: ReadonlyMap<string, { readonly to: string; readonly by: string }>;
  /** Files that the overlays put there, by absolute path. */
  readonly overlays: ReadonlySet<string>;
  /**
   * What the image began as, where it is made on another image: absolute path -> SHA-256 of the content, or "link:" and the target. What is
   * still so came with that image, by its digest.
   */
  readonly base?: ReadonlyMap<string, string>;
}

/** Files that maintainer scripts and the build's own tools write. The first match counts. */
const generators: readonly { readonly path: RegExp; readonly type?: RootFile["type"]; readonly generator: string }[] = [
  { path: /^\/etc\/alternatives\//, generator: "update-alternatives" },
  { path: /^\/etc\/(passwd|group|shadow|gshadow|subuid|subgid)-?$/, generator: "systemd-sysusers" },
  { path: /^\/etc\/ld\.so\.cache$/, generator: "ldconfig" },
  { path: /^\/etc\/ssl\/certs\//, generator: "update-ca-certificates" },
  { path: /^\/etc\/systemd\/(system|user)\//, type: "link", generator: "systemctl preset" },
  { path: /^\/etc\/rc[0-6S]\.d\//, type: "link", generator: "update-rc.d" },
  { path: /^\/dev\//, generator: "mmdebstrap" },
  { path: /^\/etc\/(apt\/sources\.list|apt\/apt\.conf\.d\/99mmdebstrap|hostname|resolv\.conf)$/, generator: "mmdebstrap" },
  // Written by the maintainer scripts of base-files, kmod, libpam-modules, netbase, python3-minimal, systemd and tzdata.
  { path: /^\/etc\/(default\/locale|dpkg\/origins\/default|environment|fstab|hosts|localtime|timezone)$/, generator: "postinst" },
  { path: /^\/etc\/(modules|mtab|networks|python3\/debian_config|security\/opasswd|vconsole\.conf)$/, generator: "postinst" },
  { path: /^\/usr\/local\/man$/, type: "link", generator: "postinst" },
  { path: /^\/etc\/\.pwd\.lock$/, generator: "systemd-sysusers" },
  { path: /^\/var\/(lib|cache)\/(dpkg|apt|debconf)\//, generator: "dpkg and apt" },
  { path: /^\/usr\/(share|lib\/sysimage)\/rpm\/rpmdb\.sqlite$/, generator: "rpm" },
  { path: /^\/etc\/machine-id$/, generator: "secai tree" },
  { path: /^\/usr\/lib\/repart\.d\/[23]2-extension-\d\d-[ab]\.conf$/, generator: "secai tree" },
  { path: /^\/usr\/lib\/extension-release\.d\/extension-release\.[a-z0-9-]+$/, generator: "secai extension" },
  { path: /^\/etc\/(shells|shells\.state)$/, generator: "update-shells" },
  { path: /^\/etc\/pam\.d\/common-/, generator: "pam-auth-update" },
  { path: /^\/usr\/lib\/modules\/[^/]+\/modules\.[a-z.]+$/, generator: "depmod" },
  { path: /\/__pycache__\/[^/]+\.pyc$/, generator: "py3compile" },
  { path: /^\/usr\/lib\/locale\/(locale-archive|C\.utf8\/)/, generator: "localedef" },
  { path: /^\/usr\/lib\/udev\/hwdb\.bin$|^\/etc\/udev\/hwdb\.bin$/, generator: "systemd-hwdb" },
  { path: /\/(gio|gdk-pixbuf[^/]*|glib[^/]*)\/.*(giomodule\.cache|loaders\.cache|gschemas\.compiled)$/, generator: "glib" },
];

function generatorOf(file: RootFile): string | undefined {
  if (file.type === "link" && file.target.startsWith("/etc/alternatives/")) return "update-alternatives";
  return generators.find(({ path, type }) => path.test(file.path) && (type === undefined || type === file.type))?.generator;
}

/** Merged /usr: a package lists /bin/x where the file lies at /usr/bin/x. Top-level links of the root decide. */
function mergedUsr(files: readonly RootFile[]): (path: string) => string {
  const links = new Map(
    files.flatMap((file): [string, string][] =>
      file.type === "link" && /^\/[^/]+$/.test(file.path) ? [[file.path, `/${file.target.replace(/^\//, "")}`]] : [],
    ),
  );
  return (path) => {
    const second = path.indexOf("/", 1);
    const target = second < 0 ? undefined : links.get(path.slice(0, second));
    return target === undefined ? path : `${target}${path.slice(second)}`;
  };
}

interface Listed {
  readonly package: string;
  readonly digest: string | undefined;
}

function listedPaths({ files, packages, diversions }: OwnershipInputs): ReadonlyMap<string, Listed> {
  const place = mergedUsr(files);
  const listed = new Map<string, Listed>();
  for (const { ref, name, paths, digests } of packages) {
    for (const path of paths) {
      const diversion = diversions.get(path);
      const at = diversion === undefined || diversion.by === name ? path : diversion.to;
      listed.set(place(at), { package: ref, digest: digests.get(path) });
    }
  }
  return listed;
}

const applianceName = /(^|[/.@-])secure-ai([/.@-]|$)/;

/** The file's digest of the kind that a package database keeps: 64 hex digits are SHA-256, 32 are MD5. */
const recorded = (file: RootFile & { readonly type: "file" }, digest: string) => (digest.length === 64 ? file.sha256 : file.md5);

/** As `OwnershipInputs.base` has it; undefined for a device or socket. */
const contentOf = (file: RootFile): string | undefined =>
  file.type === "file" ? file.sha256 : file.type === "link" ? `link:${file.target}` : undefined;

/** Says for every file of the root where it came from; whatever remains is named "unowned", never left out. */
export function ownershipOf(inputs: OwnershipInputs): readonly Ownership[] {
  const listed = listedPaths(inputs);
  const byContent = new Map<Sha256, string>();
  for (const file of inputs.files) {
    const owner = listed.get(file.path);
    if (file.type === "file" && file.size > 0 && owner !== undefined) byContent.set(file.sha256, owner.package);
  }
  const ownerOf = (file: RootFile): Owner => {
    if (inputs.overlays.has(file.path)) return { kind: "appliance" };
    const owner = listed.get(file.path);
    if (owner !== undefined) {
      const modified = file.type === "file" && owner.digest !== undefined && owner.digest !== recorded(file, owner.digest);
      return { kind: "package", package: owner.package, how: "listed", modified };
    }
    if (applianceName.test(file.path)) return { kind: "appliance" };
    if (inputs.base?.has(file.path) === true && inputs.base.get(file.path) === contentOf(file))
      return { kind: "generated", generator: "base image" };
    const generator = generatorOf(file);
    if (generator !== undefined) return { kind: "generated", generator };
    // Maintainer scripts copy default configuration, e.g. /usr/share/base-files/profile to /etc/profile.
    const original = file.type === "file" && file.size > 0 ? byContent.get(file.sha256) : undefined;
    return original === undefined ? { kind: "unowned" } : { kind: "package", package: original, how: "copied", modified: false };
  };
  return inputs.files.map((file) => ({ file, owner: ownerOf(file) }));
}

/** Most names in one message. */
const MAX_NAMED = 10;

/**
 * Nobody's files must be among the declared ones: path -> why it may be nobody's.
 * @throws SbomError SBOM_FILE_UNOWNED
 */
export function requireDeclared(ownership: readonly Ownership[], declared: ReadonlyMap<string, string>): void {
  const stray = ownership.filter(({ file, owner }) => owner.kind === "unowned" && !declared.has(file.path));
  if (stray.length === 0) return;
  const names = stray.slice(0, MAX_NAMED).map(({ file }) => file.path);
  const rest = stray.length > names.length ? ` and ${stray.length - names.length} more` : "";
  throw new SbomError("SBOM_FILE_UNOWNED", { expected: "an owner for every file", actual: `${names.join(", ")}${rest}` });
}
