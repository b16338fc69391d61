// Kernel arguments of the recipe as bootc reads them, as an overlay.
// silverblue/kernel-arguments --arguments "A B=C" --architecture x86_64 --out DIR
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { KERNEL_ARGUMENTS_PATH, kernelArgumentsFile } from "../../silverblue/kernel-arguments.ts";
import { readFlags } from "../tool.ts";

const flag = readFlags(process.argv.slice(2));
const path = join(flag("out"), KERNEL_ARGUMENTS_PATH);
mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
writeFileSync(path, kernelArgumentsFile(flag("arguments").split(" "), flag("architecture")), { mode: 0o644 });
