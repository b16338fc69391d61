// Turns the root with its packages into the appliance's: overlays, services, unit presets, module index, identity; then checks what
// the recipe demands of it.
// silverblue/tree --root DIR --overlays DIR,DIR --services DIR --programs DIR --units FILE --repository HOST/PATH --image-id ID --version V
//   --out DIR --rpmdb DIR --report FILE
import { spawnSync } from "node:child_process";
import { cpSync, lstatSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { canonicalJson } from "@secai/formats/canonical-json";
import { checkPrograms } from "../../silverblue/called-programs.ts";
import { SilverblueError } from "../../silverblue/errors.ts";
import { identify } from "../../silverblue/identity.ts";
import { kernelOf } from "../../silverblue/kernel.ts";
import { normalise } from "../../silverblue/normalise.ts";
import { checkPolicy, OTHER_POLICIES, POLICY_PATH } from "../../silverblue/policy.ts";
import { databaseOf } from "../../silverblue/rpm.ts";
import { checkMountNames, checkUnits, parseUnits } from "../../silverblue/units.ts";
import { installPrograms, installServices } from "../installed.ts";
import { overlay } from "../overlay.ts";
import { readFlags, tool } from "../tool.ts";

const flag = readFlags(process.argv.slice(2));
const [base, root] = [flag("root"), flag("out")];
const overlays = flag("overlays").split(",");
const units = parseUnits(readFileSync(flag("units")));

/** What `systemctl is-enabled` prints; it ends with another status for every state but "enabled". */
function stateOf(unit: string): string {
  return spawnSync("systemctl", [`--root=${root}`, "is-enabled", unit], { encoding: "utf8" }).stdout.trim();
}

/** An index that knows the modules that an overlay brought. Without any, the kernel package's own index stays as it is. */
function indexModules(): void {
  const brought = overlays.some((one) => lstatSync(join(one, "usr/lib/modules"), { throwIfNoEntry: false }) !== undefined);
  if (brought) tool("depmod", ["--basedir", root, kernelOf(root)]);
}

/** The policy that the machine will read, whoever wrote it, and no second one beside it. */
function keysTrusted(): readonly string[] {
  const second = OTHER_POLICIES.find((path) => lstatSync(join(root, path), { throwIfNoEntry: false }) !== undefined);
  if (second !== undefined)
    throw new SilverblueError("POLICY_REFUSED", { expected: `only /${POLICY_PATH}`, actual: `/${second}` });
  if (lstatSync(join(root, POLICY_PATH), { throwIfNoEntry: false })?.isFile() !== true)
    throw new SilverblueError("POLICY_REFUSED", { expected: `/${POLICY_PATH}`, actual: "no such file" });
  const keys = checkPolicy(readFileSync(join(root, POLICY_PATH)), flag("repository"));
  const missing = keys.find((key) => lstatSync(join(root, key), { throwIfNoEntry: false })?.isFile() !== true);
  if (missing !== undefined) throw new SilverblueError("POLICY_REFUSED", { expected: missing, actual: "no such file" });
  return keys;
}

tool("cp", ["-a", "--reflink=auto", base, root]);
for (const one of overlays) checkMountNames(one);
for (const one of overlays) overlay(one, root);
installServices(flag("services"), root);
installPrograms(flag("programs"), root);
checkPrograms(overlays, root);
const release = join(root, "usr/lib/os-release");
writeFileSync(release, identify(readFileSync(release, "utf8"), flag("image-id"), flag("version")));
indexModules();
// Users and groups are the machine's to make, at boot: /etc/passwd of an image that has changed meanwhile would not be merged (ostree).
tool("systemctl", [`--root=${root}`, "--quiet", "--preset-mode=full", "preset-all"]);
checkUnits(units, stateOf);
const keys = keysTrusted();
normalise(root);
cpSync(join(root, databaseOf(root)), flag("rpmdb"), { recursive: true });

const argumentsFolder = join(root, "usr/lib/bootc/kargs.d");
const report = {
  schema: 1,
  kernel: kernelOf(root),
  keys,
  units: { enabled: units.enabled.length, disabled: units.disabled.length },
  // Whatever the base brings is named here, so that nothing reaches the command line unseen.
  kernelArguments: lstatSync(argumentsFolder, { throwIfNoEntry: false }) === undefined ? [] : readdirSync(argumentsFolder).sort(),
};
writeFileSync(flag("report"), `${canonicalJson(report)}\n`);
