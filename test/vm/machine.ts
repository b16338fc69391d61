import type { ChildProcess } from "node:child_process";
import { copyFile, cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { AgentClient, type CommandResult, type RunOptions } from "./agent.ts";
import type { Bench } from "./bench.ts";
import { VmError } from "./errors.ts";
import { createVariables } from "./firmware.ts";
import { isRunning, killProcess } from "./processes.ts";
import { type MachineShape, qemuArguments } from "./qemu.ts";
import { QmpClient } from "./qmp.ts";
import { SerialConsole } from "./serial.ts";
import { createTpmState, startTpm, waitForFile } from "./tpm.ts";

/** What a machine is made of before it is switched on for the first time. */
export interface MachineParts {
  /** Disk image below the machine's own overlay; never written. */
  readonly backing: { readonly path: string; readonly format: "raw" | "qcow2" };
  readonly shape: MachineShape;
  /** Further certificates (PEM) for the firmware's db. */
  readonly extraDb?: readonly string[];
  /** A finished variable store to copy; made from the bench's keys when absent. */
  readonly variables?: string;
  /** A TPM's state directory to copy; a new TPM is made when absent. */
  readonly tpmState?: string;
  /** File with a frozen machine to continue. */
  readonly incoming?: string;
}

const SOCKETS = ["qmp.sock", "serial.sock", "agent.sock", "tpm.sock"] as const;
const POLL_MS = 50;

/** One virtual machine with its own directory: disk overlay, firmware variables, TPM, sockets and logs. */
export class Machine {
  readonly name: string;
  readonly dir: string;
  readonly parts: MachineParts;
  readonly serial: SerialConsole;
  readonly #bench: Bench;
  #qemu: ChildProcess | undefined;
  #tpm: ChildProcess | undefined;
  #agent: AgentClient | undefined;
  #qmp: QmpClient | undefined;
  #poweredOnAt = 0;

  private constructor(bench: Bench, name: string, parts: MachineParts) {
    this.#bench = bench;
    this.name = name;
    this.parts = parts;
    this.dir = join(bench.dir, name);
    this.serial = new SerialConsole(join(this.dir, "serial.log"), join(this.dir, "serial.sock"));
  }

  /** Makes the machine's directory; it is off. @throws VmError HARNESS_TOOL_FAILED */
  static async create(bench: Bench, name: string, parts: MachineParts): Promise<Machine> {
    const machine = new Machine(bench, name, parts);
    await mkdir(machine.dir, { mode: 0o700 });
    await Promise.all([machine.#createDisk(), machine.#createVariables(), parts.shape.tpm && machine.#createTpm()]);
    return machine;
  }

  /** Milliseconds since power on. */
  get uptimeMs(): number {
    return Math.round(performance.now() - this.#poweredOnAt);
  }

  get isRunning(): boolean {
    return isRunning(this.#qemu);
  }

  /** Switches it on. @throws VmError HARNESS_QEMU_FAILED */
  async powerOn(): Promise<void> {
    await Promise.all(SOCKETS.map((socket) => rm(join(this.dir, socket), { force: true })));
    const { tools } = this.#bench;
    this.#poweredOnAt = performance.now();
    this.serial.mark();
    if (this.parts.shape.tpm) {
      this.#tpm = await startTpm(tools, join(this.dir, "tpm"), join(this.dir, "tpm.sock"), join(this.dir, "swtpm.log"));
    }
    const devices = this.#bench.accelerator === "kvm" ? ["/dev/kvm"] : [];
    this.#qemu = tools.start(this.#arguments(), join(this.dir, "qemu.log"), devices);
    await this.#connect(this.#qemu);
  }

  /** Everything QEMU holds in memory is lost, as when the plug is pulled; the machine can be switched on again. */
  async powerCut(): Promise<void> {
    this.serial.close();
    this.#agent?.close();
    this.#qmp?.close();
    await killProcess(this.#qemu);
    await killProcess(this.#tpm);
  }

  /** Panics the guest's kernel: its own way of dying, with nothing written back. */
  async crash(): Promise<void> {
    this.run("echo c > /proc/sysrq-trigger", { timeoutMs: 5_000 }).catch(() => undefined);
    await this.waitForSerial(/Kernel panic - not syncing/, this.#bench.limits.command);
  }

  /** The reset button. */
  async reset(): Promise<void> {
    this.serial.mark();
    await this.qmp.execute("system_reset");
  }

  /** Shuts down in order and waits until the power is off. @throws VmError GUEST_TIMEOUT */
  async shutdown(): Promise<void> {
    await this.run("systemctl poweroff --no-block");
    await this.waitForPowerOff(this.#bench.limits.shutdown);
  }

  /** Restarts in order and waits for the agent of the next boot. */
  async reboot(): Promise<void> {
    const before = await this.bootId();
    this.serial.mark();
    await this.run("systemctl reboot --no-block");
    await this.waitForBoot(before, this.#bench.limits.shutdown + this.#bench.limits.boot);
  }

  /** @throws VmError GUEST_TIMEOUT */
  async waitForPowerOff(limitMs: number): Promise<void> {
    await this.#poll("the power to go off", limitMs, () => (this.isRunning ? undefined : true), { off: true });
    await this.powerCut();
  }

  /** Runs a bash script as root. @throws VmError GUEST_TIMEOUT, GUEST_STOPPED, GUEST_PANIC */
  async run(script: string, options: RunOptions = {}): Promise<CommandResult> {
    try {
      return await this.agent.run(script, { timeoutMs: this.#bench.limits.command, ...options });
    } catch (error) {
      throw this.#panic() ?? error;
    }
  }

  /** Standard output of a command that must succeed. @throws VmError CHECK_FAILED */
  async succeeds(script: string, options: RunOptions = {}): Promise<string> {
    const { exitCode, stdout, stderr } = await this.run(script, options);
    if (exitCode === 0) return stdout;
    throw new VmError("CHECK_FAILED", {
      expected: `\`${script}\` to succeed`,
      actual: `exit ${exitCode}: ${`${stdout}${stderr}`.trim().slice(-800)}`,
    });
  }

  /** What a command that must fail said, both streams. @throws VmError CHECK_FAILED */
  async fails(script: string, options: RunOptions = {}): Promise<string> {
    const { exitCode, stdout, stderr } = await this.run(script, options);
    if (exitCode !== 0) return `${stdout}${stderr}`;
    throw new VmError("CHECK_FAILED", { expected: `\`${script}\` to fail`, actual: `exit 0: ${stdout.trim().slice(-800)}` });
  }

  /** Repeats a command until it succeeds; a unit that fails meanwhile ends the wait. @throws VmError GUEST_TIMEOUT, GUEST_UNIT_FAILED */
  async waitUntil(script: string, limitMs: number): Promise<string> {
    let last = "";
    const probe = async (): Promise<string | undefined> => {
      const { exitCode, stdout, stderr } = await this.run(script);
      last = `exit ${exitCode}: ${`${stdout}${stderr}`.trim().slice(-400)}`;
      if (exitCode === 0) return stdout;
      await this.#failedUnits();
      await sleep(200);
      return undefined;
    };
    return await this.#poll(`\`${script}\` to succeed`, limitMs, probe, { last: () => last });
  }

  async waitForPort(port: number, limitMs: number): Promise<void> {
    await this.waitUntil(`exec 5<>/dev/tcp/127.0.0.1/${port}`, limitMs);
  }

  async waitForClosedPort(port: number, limitMs: number): Promise<void> {
    await this.waitUntil(`! (exec 5<>/dev/tcp/127.0.0.1/${port}) 2>/dev/null`, limitMs);
  }

  /** Waits for a text on the serial console since the last power on or restart. @throws VmError GUEST_TIMEOUT, GUEST_PANIC, GUEST_STOPPED */
  async waitForSerial(pattern: RegExp, limitMs: number): Promise<string> {
    const probe = (): string | undefined => pattern.exec(this.serial.recent())?.[0];
    return await this.#poll(`${pattern} on the console`, limitMs, probe, { off: true });
  }

  /** Waits for the agent's greeting of a boot other than `previous`. @throws VmError GUEST_TIMEOUT, GUEST_PANIC, GUEST_STOPPED */
  async waitForBoot(previous: string | undefined, limitMs: number): Promise<string> {
    return await this.#poll("the agent's greeting", limitMs, () => {
      const current = this.agent.bootId;
      return current === previous ? undefined : current;
    });
  }

  /** Switches on and waits for the agent. Milliseconds that took. */
  async boot(): Promise<number> {
    await this.powerOn();
    await this.waitForBoot(undefined, this.#bench.limits.boot);
    return this.uptimeMs;
  }

  /** Waits until systemd has started everything, and nothing failed. @throws VmError GUEST_UNIT_FAILED, GUEST_TIMEOUT */
  async waitForRunning(): Promise<void> {
    const state = async (): Promise<true | undefined> => {
      const { stdout } = await this.run("systemctl is-system-running");
      if (stdout.trim() === "running") return true;
      await this.#failedUnits();
      await sleep(250);
      return undefined;
    };
    await this.#poll("`systemctl is-system-running` to say running", this.#bench.limits.settle, state);
  }

  async bootId(): Promise<string> {
    return (await this.succeeds("cat /proc/sys/kernel/random/boot_id")).trim();
  }

  /** Writes a file in the guest. */
  async pushFile(content: string | Uint8Array, path: string, mode = 0o600): Promise<void> {
    await this.succeeds(`umask 077; cat > '${path}' && chmod ${mode.toString(8)} '${path}'`, { stdin: content });
  }

  /** Reads a file of the guest. */
  async pullFile(path: string): Promise<Buffer> {
    const { exitCode, stdoutBytes, stderr } = await this.run(`cat '${path}'`);
    if (exitCode === 0) return stdoutBytes;
    throw new VmError("CHECK_FAILED", { expected: `to read ${path}`, actual: stderr.trim() });
  }

  /** Saves the screen as PNG. */
  async screenshot(path: string): Promise<void> {
    await this.qmp.execute("screendump", { filename: path, format: "png" });
  }

  /** Plugs a USB stick with `image` (raw) in. */
  async plugUsb(id: string, image: string): Promise<void> {
    await this.qmp.execute("blockdev-add", { driver: "raw", "node-name": id, file: { driver: "file", filename: image } });
    await this.qmp.execute("device_add", { driver: "usb-storage", bus: "xhci.0", id: `usb-${id}`, drive: id });
  }

  async unplugUsb(id: string): Promise<void> {
    await this.qmp.execute("device_del", { id: `usb-${id}` });
  }

  /** Forwards a free port of 127.0.0.1 on the host to `guestPort`; nothing else gets in. */
  async forwardPort(guestPort: number): Promise<number> {
    await this.qmp.monitor(`hostfwd_add net tcp:127.0.0.1:0-:${guestPort}`);
    const table = await this.qmp.monitor("info usernet");
    const row = new RegExp(`TCP\\[HOST_FORWARD\\]\\s+\\d+\\s+127\\.0\\.0\\.1\\s+(\\d+)\\s+\\S+\\s+${guestPort}\\b`).exec(table);
    if (row?.[1] === undefined) throw new VmError("HARNESS_PROTOCOL", { expected: "a forwarded port", actual: table });
    return Number(row[1]);
  }

  /** Every packet that crossed the machine's network card, as a pcap file. */
  async packets(): Promise<Buffer> {
    return await readFile(join(this.dir, "net.pcap"));
  }

  get agent(): AgentClient {
    if (this.#agent === undefined) throw new VmError("HARNESS_PROTOCOL", { expected: "a machine that is on", actual: "off" });
    return this.#agent;
  }

  get qmp(): QmpClient {
    if (this.#qmp === undefined) throw new VmError("HARNESS_PROTOCOL", { expected: "a machine that is on", actual: "off" });
    return this.#qmp;
  }

  async #connect(qemu: ChildProcess): Promise<void> {
    const limit = this.#bench.limits.snapshot;
    try {
      await waitForFile(join(this.dir, "qmp.sock"), qemu, limit);
      this.#qmp = await QmpClient.connect(join(this.dir, "qmp.sock"));
      this.#agent = await AgentClient.connect(join(this.dir, "agent.sock"));
    } catch (cause) {
      const log = await readFile(join(this.dir, "qemu.log"), "utf8").catch(() => "");
      throw new VmError("HARNESS_QEMU_FAILED", {
        expected: "QEMU to start",
        actual: log.trim().slice(-1000) || String(cause),
        cause,
      });
    }
  }

  #arguments(): string[] {
    return qemuArguments(this.parts.shape, this.#bench.accelerator, {
      dir: this.dir,
      platform: this.#bench.tools.platform,
      agentDisk: this.#bench.media.diskPath,
      ...(this.parts.incoming === undefined ? {} : { incoming: this.parts.incoming }),
    });
  }

  async #createDisk(): Promise<void> {
    const { path, format } = this.parts.backing;
    await this.#bench.tools.run([
      "qemu-img",
      "create",
      "-q",
      "-f",
      "qcow2",
      "-F",
      format,
      "-b",
      path,
      join(this.dir, "disk.qcow2"),
    ]);
  }

  async #createVariables(): Promise<void> {
    const target = join(this.dir, "vars.fd");
    if (this.parts.variables !== undefined) return await copyFile(this.parts.variables, target);
    const { keysDir, ownerGuid, testKey } = this.#bench;
    const enrolment = {
      keysDir,
      ownerGuid,
      extraDb: [testKey.certificatePath, ...(this.parts.extraDb ?? [])],
      secureBoot: this.parts.shape.secureBoot,
    };
    await createVariables(this.#bench.tools, enrolment, target);
  }

  async #createTpm(): Promise<void> {
    const target = join(this.dir, "tpm");
    if (this.parts.tpmState === undefined) await createTpmState(this.#bench.tools, target);
    else await cp(this.parts.tpmState, target, { recursive: true, filter: (path) => !path.endsWith(".lock") });
  }

  /** @throws VmError GUEST_UNIT_FAILED naming the units and their last messages */
  async #failedUnits(): Promise<void> {
    const { stdout } = await this.run("systemctl --failed --plain --no-legend | cut -d' ' -f1");
    const units = stdout.trim().split("\n").filter(Boolean);
    if (units.length === 0) return;
    const { stdout: journal } = await this.run(
      `journalctl -b --no-pager -n 20 -o cat ${units.map((unit) => `-u '${unit}'`).join(" ")}`,
    );
    throw new VmError("GUEST_UNIT_FAILED", { expected: "no failed unit", actual: `${units.join(" ")}\n${journal.trim()}` });
  }

  /** Asks again until there is an answer; a dead machine or a passed limit ends it with what was last seen. */
  async #poll<T>(
    what: string,
    limitMs: number,
    probe: () => Promise<T | undefined> | T | undefined,
    options: { readonly off?: boolean; readonly last?: () => string } = {},
  ): Promise<T> {
    const end = performance.now() + limitMs;
    const last = options.last ?? (() => this.serial.tail(5));
    for (;;) {
      const answer = await probe();
      if (answer !== undefined) return answer;
      if (options.off !== true) this.#mustLive(what);
      else if (!this.isRunning)
        throw new VmError("GUEST_STOPPED", { expected: what, actual: `the machine is off; last seen: ${last()}` });
      if (performance.now() > end)
        throw new VmError("GUEST_TIMEOUT", { expected: `${what} within ${limitMs} ms`, actual: `last seen: ${last()}` });
      await sleep(POLL_MS);
    }
  }

  #mustLive(what: string): void {
    const panic = this.#panic();
    if (panic !== undefined) throw panic;
    if (!this.isRunning)
      throw new VmError("GUEST_STOPPED", { expected: what, actual: `the machine is off; last seen: ${this.serial.tail(5)}` });
  }

  #panic(): VmError | undefined {
    const fatal = this.serial.fatal();
    return fatal === undefined ? undefined : new VmError("GUEST_PANIC", { expected: "a machine that runs", actual: fatal });
  }

  /** Moves the logs to `target` and deletes everything else. */
  async discard(keepLogsIn?: string): Promise<void> {
    await this.powerCut();
    if (keepLogsIn !== undefined) {
      await mkdir(keepLogsIn, { recursive: true });
      for (const log of ["serial.log", "qemu.log", "swtpm.log"]) {
        await writeFile(join(keepLogsIn, `${this.name}.${log}`), await readFile(join(this.dir, log)).catch(() => ""));
      }
    }
    await rm(this.dir, { recursive: true, force: true });
  }
}
