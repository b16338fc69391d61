import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const EXTENSION_RELEASE = "usr/lib/extension-release.d";

/**
 * System extensions that are laid over /usr: systemd-sysext(8) leaves their extension-release files visible. What is only lying ready in
 * /run/extensions is not merged.
 */
export function mergedExtensions(root: string): ReadonlySet<string> {
  try {
    const files = readdirSync(join(root, EXTENSION_RELEASE));
    return new Set(
      files.flatMap((file) => (file.startsWith("extension-release.") ? [file.slice("extension-release.".length)] : [])),
    );
  } catch {
    return new Set();
  }
}

/** The value of an argument of the kernel's command line; the last one counts. */
export function kernelArgument(root: string, name: string): string | undefined {
  const line = readFileSync(join(root, "proc/cmdline"), "utf8");
  const values = line
    .split(/\s+/)
    .flatMap((argument) => (argument.startsWith(`${name}=`) ? [argument.slice(name.length + 1)] : []));
  return values.at(-1);
}
