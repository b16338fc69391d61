// Checks what `bootc container lint` checks: by bootc itself when the root has it, and by our own reading of the same rules in any case.
// silverblue/lint --root DIR --bootc auto|never --report FILE
import { spawnSync } from "node:child_process";
import { lstatSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { canonicalJson } from "@secai/formats/canonical-json";
import { SilverblueError } from "../../silverblue/errors.ts";
import { lint, lintRules } from "../../silverblue/lint-rules.ts";
import { withMounts } from "../../silverblue/mounts.ts";
import { readFlags } from "../tool.ts";

const flag = readFlags(process.argv.slice(2));
const root = flag("root");
const wanted = flag("bootc");
if (wanted !== "auto" && wanted !== "never") throw new Error("--bootc is auto or never");

const inRoot = (...argv: readonly string[]) =>
  spawnSync("chroot", [root, ...argv], { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });

/** bootc's word on its own root. undefined: the root has no bootc, or nobody asked. @throws SilverblueError LINT_FAILED */
function byBootc(): string | undefined {
  if (wanted === "never" || lstatSync(join(root, "usr/bin/bootc"), { throwIfNoEntry: false }) === undefined) return undefined;
  return withMounts(root, () => {
    const version = inRoot("bootc", "--version").stdout.trim().slice(0, 100);
    const { status, stdout } = inRoot("bootc", "container", "lint");
    console.error(stdout.trim());
    if (status !== 0)
      throw new SilverblueError("LINT_FAILED", {
        expected: "bootc container lint to pass",
        actual: `exit status ${status}: ${stdout.trim().slice(0, 1000)}`,
      });
    return version;
  });
}

const bootc = byBootc();
const findings = lint(root);
const ranBy = bootc === undefined ? ["secai"] : [bootc, "secai"];
writeFileSync(flag("report"), `${canonicalJson({ schema: 1, ranBy, rules: lintRules.map(({ name }) => name), findings })}\n`);
console.error(`lint by ${bootc ?? "our own reading of the rules only: the root has no bootc, or it was not asked"}`);
for (const { rule, level, detail } of findings) console.error(`${level} ${rule}: ${detail}`);
const fatal = findings.filter(({ level }) => level === "fatal");
if (fatal.length > 0)
  throw new SilverblueError("LINT_FAILED", {
    expected: "no fatal finding",
    actual: fatal.map(({ rule, detail }) => `${rule}: ${detail}`).join("; "),
  });
