import { suiteMain } from "../vm/cli.ts";
import { diskScenarios } from "./disks.ts";
import { fileScenarios } from "./files.ts";
import { installerScenarios } from "./installer.ts";

await suiteMain("media", [...fileScenarios, ...diskScenarios, ...installerScenarios]);
