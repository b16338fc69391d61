// Describes a finished root file system, so that a running machine can be compared with it.
// baseline --root DIR --dpkg DIR --root-hash FILE --arguments TEXT --extensions NAME=MIB,NAME=MIB --descriptions DIR --out FILE
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { baselineBytes, buildBaseline } from "@secai/formats/baseline";
import { parseSha256 } from "@secai/formats/digest";
import { baselineFacts } from "../baseline/facts.ts";
import { readEntries } from "../baseline/root.ts";
import { loadDpkg } from "../sbom/dpkg.ts";
import { extensionSlots } from "./extension-slots.ts";
import { readFlags, toolOutput } from "./tool.ts";

const flag = readFlags(process.argv.slice(2));
const root = flag("root");

const descriptions = flag("descriptions");
const extensions = extensionSlots(flag("extensions"), descriptions).map(({ name, description }) => ({
  name,
  rootHash: parseSha256(description.rootHash),
  files: readEntries(join(descriptions, `${name}.tree`)),
}));
const facts = baselineFacts({
  files: readEntries(root),
  // Every path here is a regular file that readEntries met without following a link.
  read: (path) => readFileSync(join(root, path), "utf8"),
  rootHash: parseSha256(readFileSync(flag("root-hash"), "utf8").trim()),
  kernelArguments: flag("arguments").split(" "),
  unitFiles: toolOutput("systemctl", [`--root=${root}`, "list-unit-files", "--no-legend", "--no-pager", "--plain"]),
  packages: loadDpkg(flag("dpkg")).map(({ name, version, architecture }) => ({ name, version, architecture })),
});
const baseline = buildBaseline({ ...facts, ...(extensions.length === 0 ? {} : { extensions }) });
writeFileSync(flag("out"), baselineBytes(baseline));
const enabled = baseline.units.filter((unit) => unit.enabled).length;
console.error(
  `${baseline.files.length} files, ${baseline.packages.length} packages, ${baseline.units.length} units (${enabled} enabled), ` +
    `${baseline.ports.length} ports, ${baseline.policies.length} policies, ${Object.keys(baseline.sysctl).length} kernel settings`,
);
