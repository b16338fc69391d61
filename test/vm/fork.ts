import { rename, stat } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Bench } from "./bench.ts";
import { VmError } from "./errors.ts";
import { Machine } from "./machine.ts";
import type { MachineShape } from "./qemu.ts";
import type { QmpClient } from "./qmp.ts";

/** A machine that was stopped while running and can be continued any number of times, each time from the same instant. */
export interface Frozen {
  readonly shape: MachineShape;
  readonly disk: string;
  readonly variables: string;
  readonly tpmState: string;
  readonly memory: string;
  /** Milliseconds that freezing took, and bytes of the machine's memory on disk. */
  readonly freezeMs: number;
  readonly memoryBytes: number;
}

/**
 * Stops `machine` and keeps all its state, the TPM's included. The machine is off afterwards and must not be switched on again.
 * @throws VmError HARNESS_PROTOCOL, GUEST_TIMEOUT
 */
export async function freeze(bench: Bench, machine: Machine): Promise<Frozen> {
  const started = performance.now();
  const memory = join(machine.dir, "memory.state");
  await machine.qmp.execute("stop");
  await machine.qmp.execute("migrate-set-parameters", { "max-bandwidth": 0 });
  await machine.qmp.execute("migrate", { uri: `file:${memory}` });
  await waitForStatus(machine.qmp, "query-migrate", (status) => status === "completed", bench.limits.snapshot);
  await machine.powerCut();
  await rename(join(machine.dir, "tpm"), join(machine.dir, "tpm.frozen"));
  return {
    shape: machine.parts.shape,
    disk: join(machine.dir, "disk.qcow2"),
    variables: join(machine.dir, "vars.fd"),
    tpmState: join(machine.dir, "tpm.frozen"),
    memory,
    freezeMs: Math.round(performance.now() - started),
    memoryBytes: (await stat(memory)).size,
  };
}

/** A new machine that continues from the frozen instant; its agent answers. @throws VmError */
export async function fork(bench: Bench, frozen: Frozen, name: string): Promise<Machine> {
  const machine = await Machine.create(bench, name, {
    backing: { path: frozen.disk, format: "qcow2" },
    shape: frozen.shape,
    variables: frozen.variables,
    tpmState: frozen.tpmState,
    incoming: frozen.memory,
  });
  await machine.powerOn();
  await waitForStatus(
    machine.qmp,
    "query-status",
    (status) => status === "paused" || status === "postmigrate",
    bench.limits.snapshot,
  );
  await machine.qmp.execute("cont");
  return machine;
}

async function waitForStatus(qmp: QmpClient, command: string, done: (status: string) => boolean, limitMs: number): Promise<void> {
  const end = performance.now() + limitMs;
  for (;;) {
    const answer = (await qmp.execute(command)) as { readonly status?: string; readonly "error-desc"?: string };
    if (done(answer.status ?? "")) return;
    if (answer.status === "failed")
      throw new VmError("HARNESS_PROTOCOL", { expected: command, actual: answer["error-desc"] ?? "failed" });
    if (performance.now() > end)
      throw new VmError("HARNESS_QEMU_FAILED", { expected: command, actual: answer.status ?? "nothing" });
    await sleep(10);
  }
}
