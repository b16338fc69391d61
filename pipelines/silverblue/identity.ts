import { SilverblueError } from "./errors.ts";

/** What the appliance says of itself; everything else stays the base's, so that its packages' scripts and updates know where they are. */
const OURS = [
  "PRETTY_NAME",
  "VARIANT",
  "VARIANT_ID",
  "IMAGE_ID",
  "IMAGE_VERSION",
  "DEFAULT_HOSTNAME",
  "HOME_URL",
  "SUPPORT_URL",
  "BUG_REPORT_URL",
];

const LINE = /^(?<key>[A-Z][A-Z0-9_]*)=(?<value>"[^"\\$`]*"|'[^'\\$`]*'|[A-Za-z0-9._~+:/-]*)$/;

/**
 * os-release(5) of the image: the base's ID and VERSION_ID, our name and version.
 * @throws SilverblueError LINT_FAILED for a file that is not of that form
 */
export function identify(text: string, imageId: string, version: string): string {
  const lines = text.split("\n").filter((line) => line.trim() !== "" && !line.startsWith("#"));
  const parsed = lines.map((line) => LINE.exec(line)?.groups);
  const wrong = parsed.indexOf(undefined);
  if (wrong >= 0) throw new SilverblueError("LINT_FAILED", { expected: "KEY=value in os-release", actual: lines[wrong] ?? "" });
  const value = (key: string) => parsed.find((groups) => groups?.key === key)?.value?.replace(/^["']|["']$/g, "");
  const [id, release] = [value("ID"), value("VERSION_ID")];
  if (id === undefined || release === undefined)
    throw new SilverblueError("LINT_FAILED", { expected: "ID and VERSION_ID in os-release", actual: "without" });
  const kept = lines.filter((line) => !OURS.includes(line.slice(0, line.indexOf("="))));
  const name = value("NAME") ?? id;
  return [
    ...kept,
    `PRETTY_NAME="SecAI OS ${version} (${name} ${release})"`,
    'VARIANT="SecAI OS"',
    "VARIANT_ID=secai",
    `IMAGE_ID=${imageId}`,
    `IMAGE_VERSION=${version}`,
    "",
  ].join("\n");
}
