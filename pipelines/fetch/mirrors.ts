import { readFile } from "node:fs/promises";
import { NPM_ARCHIVE } from "../lock/lock.ts";
import { runTool } from "../run-tool.ts";
import { FetchError } from "./errors.ts";

/** Roots of an archive, by its name, best first, each with a slash at its end. */
export type Mirrors = Readonly<Record<string, readonly string[]>>;

const debianSuite =
  /^(oldoldstable|oldstable|stable|testing|unstable|sid|bullseye|bookworm|trixie|forky|duke)(-security|-updates|-backports)?$/;

function withSlash(url: string): string {
  return url.endsWith("/") ? url : `${url}/`;
}

/**
 * Parses `ARCHIVE=URL`, as --mirror and SECAI_MIRRORS have it.
 * @throws FetchError FETCH_MIRROR_UNKNOWN
 */
function parseMirror(text: string): readonly [string, string] {
  const [, archive, url] = /^([a-z0-9][a-z0-9.-]*)=(https?:\/\/\S+)$/.exec(text) ?? [];
  if (archive === undefined || url === undefined) {
    throw new FetchError("FETCH_MIRROR_UNKNOWN", {
      expected: "ARCHIVE=http(s)://...",
      actual: JSON.stringify(text.slice(0, 200)),
    });
  }
  return [archive, withSlash(url)];
}

/** Joins lists of mirrors; what stands first is asked first, twice the same is once. */
function collect(pairs: readonly (readonly [string, string])[]): Mirrors {
  const mirrors: Record<string, string[]> = {};
  for (const [archive, url] of pairs) {
    const list = mirrors[archive] ?? [];
    mirrors[archive] = list;
    if (!list.includes(url)) list.push(url);
  }
  return mirrors;
}

/** "mirror+file:" names a file with a URL a line, as Debian's cloud images have it (apt-transport-mirror(1)). */
async function expand(uri: string): Promise<string[]> {
  if (/^https?:/.test(uri)) return [withSlash(uri)];
  const [, listPath] = /^mirror\+file:(?:\/\/)?(\/[^?#]+?)\/?$/.exec(uri) ?? [];
  if (listPath === undefined) return [];
  const lines = await readFile(listPath, "utf8").catch(() => "");
  return lines.split("\n").flatMap((line) => (/^https?:\S+/.exec(line) ?? []).map(withSlash));
}

/** Which archive a source of the host's apt is a mirror of; `undefined` when it is not Debian's. */
function archiveOf(release: string, component: string, origin: string): string | undefined {
  const suite = debianSuite.exec(release);
  // The origin is known only once the host's lists were downloaded; until then apt leaves the name of the field in its place.
  const isKnown = origin !== "" && origin !== "$(ORIGIN)";
  if (suite === null || component !== "main" || (isKnown && origin !== "Debian")) return undefined;
  return suite[2] === "-security" ? "debian-security" : "debian";
}

/** Mirrors keep the security archive beside the main one; a host that does not use it shows only the latter. */
function withSecurity(mirrors: Mirrors): Mirrors {
  const siblings = (mirrors.debian ?? [])
    .filter((url) => url.endsWith("/debian/"))
    .map((url) => url.replace(/debian\/$/, "debian-security/"));
  return siblings.length === 0 ? mirrors : { "debian-security": siblings, ...mirrors };
}

/** What `apt-get indextargets` says in this format, a line a source. */
const targetFormat = "$(REPO_URI)\t$(RELEASE)\t$(COMPONENT)\t$(ORIGIN)";

/** Mirrors among the sources of an apt. The signatures, not this guess, decide whether a mirror has the right archive. */
export async function parseTargets(text: string): Promise<Mirrors> {
  const pairs: (readonly [string, string])[] = [];
  for (const line of text.split("\n")) {
    const [uri = "", release = "", component = "", origin = ""] = line.split("\t");
    const archive = archiveOf(release, component, origin);
    if (archive !== undefined) for (const url of await expand(uri)) pairs.push([archive, url]);
  }
  return withSecurity(collect(pairs));
}

async function hostMirrors(): Promise<Mirrors> {
  const args = ["indextargets", "--format", targetFormat, "Identifier: Packages"];
  const known = await runTool("apt-get", args).catch(() => undefined);
  if (known === undefined || known.stdout !== "") return await parseTargets(known?.stdout ?? "");
  // A system that never ran `apt-get update` lists its sources only when it is not asked for what their release files say.
  return await parseTargets((await runTool("apt-get", ["--no-release-info", ...args])).stdout);
}

/** The registry of this machine's npm. */
async function npmRegistry(): Promise<Mirrors> {
  const { stdout } = await runTool("npm", ["config", "get", "registry"]).catch(() => ({ stdout: "" }));
  const url = stdout.trim();
  return /^https?:\/\/\S+$/.test(url) ? { [NPM_ARCHIVE]: [withSlash(url)] } : {};
}

const words = (text: string | undefined): string[] => (text ?? "").split(/\s+/).filter((word) => word !== "");

/**
 * Where archives can be had. Who names mirrors gets these: the caller's, else those of SECAI_MIRRORS, else the ones that the host's own
 * apt uses (and for "npm" the registry that its npm uses). Those of SECAI_SNAPSHOTS are asked last, for what has left the others. Both variables hold `ARCHIVE=URL`, separated by
 * white space. No address is built in; `ownAddresses` are those that a recipe itself gives, for archives that apt knows nothing of.
 * @throws FetchError FETCH_MIRROR_UNKNOWN when one of `archives` is nowhere to be had, or a name is not `ARCHIVE=URL`
 */
export async function findMirrors(
  archives: readonly string[],
  named: readonly string[],
  env: NodeJS.ProcessEnv,
  ownAddresses: Mirrors = {},
): Promise<Mirrors> {
  const given = [collect(named.map(parseMirror)), collect(words(env.SECAI_MIRRORS).map(parseMirror))];
  const snapshots = collect(words(env.SECAI_SNAPSHOTS).map(parseMirror));
  given.push(ownAddresses);
  const isGiven = (archive: string): boolean => given.some((mirrors) => mirrors[archive] !== undefined);
  const open = archives.filter((archive) => !isGiven(archive));
  if (open.some((archive) => archive !== NPM_ARCHIVE)) given.push(await hostMirrors());
  if (open.includes(NPM_ARCHIVE)) given.push(await npmRegistry());
  const found = archives.map((archive): [string, readonly string[]] => {
    const first = given.find((mirrors) => mirrors[archive] !== undefined)?.[archive] ?? [];
    return [archive, [...new Set([...first, ...(snapshots[archive] ?? [])])]];
  });
  for (const [archive, urls] of found) {
    if (urls.length > 0) continue;
    throw new FetchError("FETCH_MIRROR_UNKNOWN", {
      expected: `a mirror of the archive "${archive}"`,
      actual: `none in this machine's ${archive === NPM_ARCHIVE ? "npm" : "apt"} configuration`,
      fix: `Name one: --mirror ${archive}=URL, or SECAI_MIRRORS="${archive}=URL".`,
    });
  }
  return Object.fromEntries(found);
}

/** The proxies of the environment, and for HTTP the host's apt's where the environment has none. */
export async function proxyEnvironment(env: NodeJS.ProcessEnv): Promise<NodeJS.ProcessEnv> {
  if (env.http_proxy !== undefined || env.HTTP_PROXY !== undefined) return env;
  const result = await runTool("apt-config", ["dump", "--format", "%v%n", "Acquire::http::Proxy"]).catch(() => undefined);
  const proxy = result?.stdout.split("\n")[0]?.trim() ?? "";
  return /^https?:\/\//.test(proxy) ? { ...env, http_proxy: proxy } : env;
}
