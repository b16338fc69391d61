import { type KernelModules, parseKernelModules } from "../../attest/formats/kernel-modules.ts";
import { expectEqual, expectMatch, expectNoMatch } from "../vm/expect.ts";
import type { Machine } from "../vm/machine.ts";
import type { Scenario } from "../vm/suite.ts";

const LIST = "/usr/lib/secure-ai/kernel-modules.json";

/** The modules that the image says it brings beside the kernel's own; an image without the list brings none. */
async function listed(machine: Machine): Promise<KernelModules["modules"]> {
  const { exitCode, stdoutBytes } = await machine.run(`cat ${LIST}`);
  return exitCode === 0 ? parseKernelModules(stdoutBytes).modules : [];
}

export const kernelModuleScenarios: readonly Scenario[] = [
  {
    id: "kernel-modules.listed",
    title: "The image brings exactly the kernel modules of its list beside the kernel's own, byte for byte",
    needs: "shared",
    async run(test) {
      const machine = await test.shared();
      const modules = await listed(machine);
      const found = await machine.succeeds("find /usr/lib/modules -type f -name '*.ko*' -not -path '*/kernel/*' | sort");
      const expected = modules.map(({ path }) => `${path}\n`);
      expectEqual(found, expected.sort().join(""), "modules beside the kernel's own");
      for (const { path, sha256 } of modules)
        expectEqual((await machine.succeeds(`sha256sum ${path}`)).slice(0, 64), sha256, path);
    },
  },
  {
    id: "kernel-modules.trusted",
    title: "The kernel takes the signature of every module of the list; NVIDIA's driver then finds no device of its own",
    needs: "fork",
    async run(test) {
      const machine = await test.fork();
      await machine.succeeds("dmesg --clear");
      const modules = await listed(machine);
      for (const { name } of modules) {
        const { stderr } = await machine.run(`modprobe ${name}`);
        expectNoMatch(stderr, /Key was rejected|not permitted|Invalid module format|not found/, `modprobe ${name}`);
        if (name !== "nvidia") continue;
        expectMatch(stderr, /No such device/, "modprobe nvidia");
        expectMatch(await machine.succeeds("dmesg"), /NVRM: No NVIDIA GPU found\./, "the driver's own words");
      }
      expectNoMatch(await machine.succeeds("dmesg"), /Loading of .* is rejected/, "the kernel's log");
    },
  },
];
