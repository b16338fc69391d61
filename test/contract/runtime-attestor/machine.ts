import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Bind, toolCommand } from "@secai/pipelines/engine/sandbox";
import {
  type Boot,
  commandLineOf,
  eventLogOf,
  extensionsOf,
  makePcrKey,
  type PcrKey,
  pcrSignaturesOf,
  userspaceLogOf,
} from "../../../services-src/runtime-attestor/boot.test-data.ts";

// A machine as the attestor sees it: files laid out below a folder, and a real software TPM that measured the boot.

const SECURE_BOOT = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
const BUNDLES = { "policy-engine": "// the policy engine\n", "runtime-attestor": "// this very service\n" };
export const BUNDLE_PATH = "usr/lib/secure-ai/services/policy-engine.mjs";
export const POLICY_PATH = "etc/secure-ai/policy/policy.yaml";
const SOCKET_LIMIT_MS = 10_000;

/** @throws Error without a tool root: a test that cannot run must not pass */
export function toolRoot(): string {
  const path = process.env.SECAI_TOOL_ROOT;
  if (path === undefined || !existsSync(join(path, "usr/bin/tpm2_quote")))
    throw new Error("SECAI_TOOL_ROOT names no tool root with tpm2-tools in it: run `npm run test:contract`");
  return path;
}

export class Machine {
  readonly path = mkdtempSync(join(tmpdir(), "secai-attestor-"));
  readonly root = join(this.path, "root");
  readonly pcrKey: PcrKey = makePcrKey();
  #tpm: ChildProcess | undefined;
  #tricks: readonly Bind[] = [];
  #others: readonly Bind[] = [];

  /** @param name of a TPM's state; another name is another TPM */
  static async booted(boot: Boot, name = "tpm"): Promise<Machine> {
    const machine = new Machine();
    await machine.boot(boot, name);
    return machine;
  }

  get socket(): string {
    return join(this.path, "tpm.sock");
  }

  at(path: string): string {
    return join(this.root, path);
  }

  write(path: string, content: string | Uint8Array): void {
    mkdirSync(dirname(this.at(path)), { recursive: true });
    writeFileSync(this.at(path), content);
  }

  /** Starts the machine anew: its TPM is reset, and measures this boot. */
  async boot(boot: Boot, tpm = "tpm"): Promise<void> {
    await this.stopTpm();
    this.#layOut(boot);
    await this.startTpm(tpm);
    this.tools(
      `tpm2_pcrextend ${extensionsOf(boot)
        .map(({ pcr, digest }) => `${pcr}:sha256=${digest}`)
        .join(" ")}`,
    );
  }

  #layOut(boot: Boot): void {
    this.write("proc/cmdline", `${commandLineOf(boot)}\n`);
    this.write("proc/self/mountinfo", "25 1 254:0 / / ro,relatime shared:1 - erofs /dev/mapper/root ro\n");
    this.write("sys/dev/block/254:0/dm/uuid", `CRYPT-VERITY-${"ab".repeat(16)}-root\n`);
    this.write("sys/kernel/security/lockdown", "none integrity [confidentiality]\n");
    this.write("sys/kernel/security/tpm0/binary_bios_measurements", eventLogOf(boot));
    this.write(SECURE_BOOT, Buffer.from([6, 0, 0, 0, boot.secureBoot === false ? 0 : 1]));
    this.write("run/log/systemd/tpm2-measure.log", userspaceLogOf(boot));
    this.write("run/systemd/tpm2-pcr-signature.json", pcrSignaturesOf(boot.release, this.pcrKey));
    this.write("run/systemd/tpm2-pcr-public-key.pem", this.pcrKey.pem);
    this.write("usr/lib/os-release", 'ID=debian\nIMAGE_ID="secai-os"\nIMAGE_VERSION=0.1.0\n');
    this.write(POLICY_PATH, "version: 1\n");
    const services = Object.entries(BUNDLES).map(([name, text]) => {
      const path = `/usr/lib/secure-ai/services/${name}.mjs`;
      this.write(path, text);
      return [name, { path, sha256: createHash("sha256").update(text).digest("hex") }] as const;
    });
    this.write("usr/lib/secure-ai/services.json", `${JSON.stringify({ schema: 1, services: Object.fromEntries(services) })}\n`);
  }

  async startTpm(name: string): Promise<void> {
    mkdirSync(join(this.path, name), { recursive: true });
    const argv = [
      ...["swtpm", "socket", "--tpm2", "--tpmstate", `dir=${name}`, "--server", `type=unixio,path=${this.socket}`],
      ...["--ctrl", `type=unixio,path=${this.socket}.ctrl`, "--flags", "not-need-init,startup-clear"],
    ];
    const [program = "", ...args] = this.command(argv);
    this.#tpm = spawn(program, args, { stdio: "ignore" });
    const end = performance.now() + SOCKET_LIMIT_MS;
    while (!existsSync(this.socket)) {
      if (performance.now() > end) throw new Error("the software TPM does not listen");
      await sleep(20);
    }
  }

  /** As when its power goes: without a proper shutdown. */
  async stopTpm(): Promise<void> {
    const tpm = this.#tpm;
    this.#tpm = undefined;
    if (tpm !== undefined && tpm.exitCode === null) {
      const ended = once(tpm, "exit");
      tpm.kill("SIGKILL");
      await ended;
    }
    for (const path of [this.socket, `${this.socket}.ctrl`]) if (existsSync(path)) unlinkSync(path);
  }

  /** The command that runs a program of the tool root, which sees this machine's folder at its own path. */
  command(argv: readonly string[], env: Readonly<Record<string, string>> = {}, network: "host" | "none" = "none"): string[] {
    const own = { src: this.path, dst: this.path, writable: true };
    return toolCommand({ root: toolRoot(), argv, binds: [own, ...this.#others, ...this.#tricks], env, network, cwd: this.path });
  }

  /**
   * From the next command on somebody stands between the service and its TPM: after each tpm2_quote, `script` runs in the folder with its
   * files (message, signature, pcrs, values, ak.pub). $SAVED is a folder that stays.
   */
  interpose(script: string): void {
    const [real, saved, tool] = ["real/tpm2", "saved", "tpm2"].map((name) => join(this.path, name)) as [string, string, string];
    mkdirSync(dirname(real), { recursive: true });
    copyFileSync(join(toolRoot(), "usr/bin/tpm2"), real);
    mkdirSync(saved, { recursive: true });
    const lines = ["#!/bin/bash -eu", `name=$(basename "$0"); SAVED=${saved}`, `${real} "\${name#tpm2_}" "$@"`];
    writeFileSync(tool, [...lines, `if [ "$name" = tpm2_quote ]; then ${script}; fi`, ""].join("\n"), { mode: 0o755 });
    this.#tricks = [{ src: tool, dst: "/usr/bin/tpm2", writable: false }];
  }

  /** Another machine's folder, for whoever stands between. */
  alsoSees({ path }: Machine): void {
    this.#others = [{ src: path, dst: path, writable: true }];
  }

  /** Runs a script with tpm2-tools against the machine's TPM. @throws Error with what it wrote */
  tools(script: string): string {
    const env = { TPM2TOOLS_TCTI: `swtpm:path=${this.socket}` };
    const [program = "", ...args] = this.command(["/bin/bash", "-euo", "pipefail", "-c", script], env);
    const { status, stdout, stderr } = spawnSync(program, args, { encoding: "utf8", timeout: 60_000 });
    if (status !== 0) throw new Error(`${script}\nended with ${status}: ${stderr}`);
    return stdout;
  }

  read(path: string): string {
    return readFileSync(this.at(path), "utf8");
  }

  async remove(): Promise<void> {
    await this.stopTpm();
    rmSync(this.path, { recursive: true, force: true });
  }
}
