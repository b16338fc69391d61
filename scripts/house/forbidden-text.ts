/** Names that say nothing of where packages come from. */
const loopback = new Set(["localhost", "127.0.0.1"]);

/** Host names in the output of `npm config get registry` and `apt-get indextargets --format '$(SITE)'`: no file may name one. */
export function localHosts(configuration: string): readonly string[] {
  const hosts = [...configuration.matchAll(/[a-z][a-z+.-]*:\/\/(?:[^@/\s]*@)?(?<host>[^/:\s]+)/gi)].map(
    (match) => match.groups?.host?.toLowerCase() ?? "",
  );
  return [...new Set(hosts)].filter((host) => host !== "" && !loopback.has(host)).sort();
}

const privateKey = /-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----\n[A-Za-z0-9+/]/;

/** Findings are places, never the text found: a lint log is public. */
export function forbiddenText(path: string, text: string, hosts: readonly string[]): readonly string[] {
  const lines = text.toLowerCase().split("\n");
  const named = lines.flatMap((line, index) =>
    hosts.some((host) => line.includes(host)) ? [`${path}:${index + 1}: names a package mirror of this machine`] : [],
  );
  return privateKey.test(text) ? [...named, `${path}: holds a private key`] : named;
}
