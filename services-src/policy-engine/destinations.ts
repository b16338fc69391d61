/** Where requests may go: whole hosts, and paths of origins. */
export interface Destinations {
  /** Host names, any scheme and port. */
  readonly hosts: ReadonlySet<string>;
  /** "https://example.org" -> the path prefixes allowed there; "" is every path. */
  readonly origins: ReadonlyMap<string, readonly string[]>;
}

const MAX_URL_CHARS = 4096;
// Two parsers see different hosts or paths in these: control characters, spaces, backslashes, and separators or dots in disguise.
const UNPLAIN = /[\p{Cc}\p{Cs}\s\\]|%(?:2e|2f|5c|00)/iu;
// One label after another, no trailing dot; the alphabet that WHATWG URL leaves in a host.
const HOST = /^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*$/;

/** An http(s) URL without credentials, parsed as WHATWG says; undefined for everything else. */
export function parseDestination(text: string): URL | undefined {
  if (text.length > MAX_URL_CHARS || UNPLAIN.test(text) || !/^https?:\/\//i.test(text) || !URL.canParse(text)) return undefined;
  const url = new URL(text);
  return url.username === "" && url.password === "" && !url.hostname.endsWith(".") ? url : undefined;
}

/** Whether a request to `url` goes to a listed place. */
export function isListed({ hosts, origins }: Destinations, url: URL): boolean {
  if (hosts.has(url.hostname)) return true;
  return (origins.get(url.origin) ?? []).some((prefix) => url.pathname === prefix || url.pathname.startsWith(`${prefix}/`));
}

/** Sorts the patterns of a policy file; calls `refuse` for one that is neither a host name nor a plain URL. */
export function compileDestinations(patterns: readonly string[], refuse: (pattern: string) => never): Destinations {
  const hosts = new Set<string>();
  const origins = new Map<string, readonly string[]>();
  for (const pattern of patterns) {
    if (HOST.test(pattern.toLowerCase())) {
      hosts.add(pattern.toLowerCase());
      continue;
    }
    const url = parseDestination(pattern) ?? refuse(pattern);
    if (url.search !== "" || url.hash !== "" || url.pathname.includes("*")) refuse(pattern);
    origins.set(url.origin, [...(origins.get(url.origin) ?? []), url.pathname.replace(/\/$/, "")]);
  }
  return { hosts, origins };
}
