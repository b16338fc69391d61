import { release } from "node:os";
import { join } from "node:path";
import { BACKENDS } from "@secai/formats/gpu-backends";
import { devicesFor } from "@secai/gpu/decide";
import { loadDeclared, locate } from "@secai/gpu/layout";
import { probeApart } from "@secai/gpu/run-probes";
import { readPciDevices } from "@secai/gpu/sysfs";
import { tinyModelBytes } from "@secai/gpu/tiny-model";
import { runGpu } from "@secai/release/gpu/command";
import type { GpuWorld, UsableDevice } from "@secai/release/gpu/world";
import type { CommandIo } from "@secai/verify/command";

function devices(): readonly UsableDevice[] {
  return readPciDevices("/").flatMap((device) => {
    const { driver, driver_version } = device;
    const backends = BACKENDS.filter((backend) => devicesFor(backend, [device]).length > 0);
    return driver === null || driver_version === null || backends.length === 0
      ? []
      : [{ ...device, driver, driver_version, backends }];
  });
}

/** `secai gpu` where images are built: the appliance's own programs look at this machine. */
export function runGpuHere(args: string[], io: CommandIo & { readonly top: string }): Promise<number> {
  const program = join(io.top, "services-src/gpu/programs/probe.ts");
  const world: GpuWorld = {
    devices,
    declared: (trees) => loadDeclared({ roots: trees }),
    locate: (trees, path) => locate({ roots: trees }, path),
    probe: ({ backend, trees, model, tokens }) => {
      const roots = trees.flatMap((tree) => ["--root", tree]);
      return probeApart({ argv: [program], env: io.env }, backend, [...roots, "--model", model, "--tokens", String(tokens)]);
    },
    model: tinyModelBytes,
    kernel: release(),
    now: () => new Date(),
  };
  return runGpu(args, io, world);
}
