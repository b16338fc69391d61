import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { sha256 } from "../../attest/formats/digest.ts";
import { VmError } from "./errors.ts";
import type { Platform } from "./platform.ts";
import { AGENT_DISK } from "./qemu.ts";
import type { Tools } from "./tools.ts";

/** A key pair that signs test addons and kernels; only test firmware enrols its certificate. */
export interface TestKey {
  readonly keyPath: string;
  readonly certificatePath: string;
}

/** What brings the test agent into an unmodified release image. */
export interface AgentMedia {
  /** The signed UKI addon (PE) for /loader/addons/ in the ESP. */
  readonly addonPath: string;
  /** Its kernel command line. */
  readonly commandLine: string;
  /** The read-only disk with the agent's script. */
  readonly diskPath: string;
}

/** arch/x86/include/asm/setup.h: COMMAND_LINE_SIZE, the end of the line included. */
const COMMAND_LINE_LIMIT = 2048;
/** Where a DOS header points to the PE header, whose second field is the machine (PE/COFF, section 3). */
const PE_OFFSET_AT = 0x3c;
const ADDON_STUB = "/usr/lib/systemd/boot/efi/addonx64.efi.stub";
const UNIT = "secai-test-agent.service";
/** Signatures carry a time; a fixed one keeps the addon's bytes, and so PCR 4 and 12, the same for one key. */
const SIGNING_TIME = "1760000000";

/** @throws VmError HARNESS_TOOL_FAILED */
export async function createTestKey(tools: Tools, dir: string, name: string): Promise<TestKey> {
  const key = { keyPath: join(dir, `${name}.key`), certificatePath: join(dir, `${name}.crt`) };
  await tools.run([
    ...["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", `/CN=SecAI OS ${name}/`],
    ...["-keyout", key.keyPath, "-out", key.certificatePath],
  ]);
  return key;
}

/**
 * The unit that starts the agent's script from its disk, and only if it has the digest in this text, which the boot measures into PCR 12.
 */
export function agentUnit(script: Uint8Array): string {
  return [
    "[Unit]",
    "DefaultDependencies=no",
    "IgnoreOnIsolate=yes",
    "[Service]",
    "Restart=always",
    "RestartSec=1",
    `ExecStart=/bin/bash -c 'd=/dev/disk/by-id/virtio-${AGENT_DISK};until [ -e $$d ];do sleep .1;done;f=/run/secai-test.sh;` +
      `head -c ${script.length} $$d>$$f;sha256sum -c<<<"${sha256(script)}  $$f"&&exec bash $$f'`,
    "",
  ].join("\n");
}

/** A site policy that expects the agent names its unit by digest. */
export async function agentUnitFile(): Promise<{ readonly name: string; readonly content: string }> {
  return { name: UNIT, content: agentUnit(await readFile(new URL("guest/agent.sh", import.meta.url))) };
}

/**
 * The addon's command line: systemd's debug generator makes a unit of the credential and starts it
 * (systemd-debug-generator(8), systemd.system-credentials(7)). Imports are switched on here because a sealed image switches them off.
 */
export function agentCommandLine(script: Uint8Array): string {
  const credential = `systemd.extra-unit.${UNIT}:${Buffer.from(agentUnit(script)).toString("base64")}`;
  return `systemd.import_credentials=yes systemd.set_credential_binary=${credential} systemd.wants=${UNIT}`;
}

/** @throws VmError HARNESS_TOOL_FAILED, HARNESS_PROTOCOL when the line would not fit the kernel's */
export async function createAgentMedia(tools: Tools, dir: string, key: TestKey): Promise<AgentMedia> {
  const script = await readFile(new URL("guest/agent.sh", import.meta.url));
  const commandLine = agentCommandLine(script);
  const diskPath = join(dir, "agent.img");
  await writeFile(diskPath, Buffer.concat([script, Buffer.alloc(4096 - (script.length % 4096))]));
  const addonPath = join(dir, "test.addon.efi");
  await createAddon(tools, addonPath, commandLine, key);
  return { addonPath, commandLine, diskPath };
}

/** Builds an addon for `commandLine`, signed with `key` or not at all. @throws VmError HARNESS_TOOL_FAILED, HARNESS_PROTOCOL */
export async function createAddon(tools: Tools, path: string, commandLine: string, key: TestKey | undefined): Promise<void> {
  if (commandLine.length >= COMMAND_LINE_LIMIT) {
    throw new VmError("HARNESS_PROTOCOL", { expected: `under ${COMMAND_LINE_LIMIT} bytes`, actual: `${commandLine.length}` });
  }
  const unsigned = key === undefined ? path : `${path}.unsigned`;
  const stub = `${path}.stub`;
  await writeFile(stub, stubFor(await readFile(join(tools.root, ADDON_STUB)), tools.platform));
  await tools.run(["ukify", "build", `--cmdline=${commandLine}`, `--stub=${stub}`, `--output=${unsigned}`]);
  if (key !== undefined) await signPe(tools, unsigned, path, key);
}

/**
 * An addon is loaded for its sections and never started (systemd-stub(7)), so one stub with another machine in its header serves for
 * architectures that the tool root is not of.
 */
function stubFor(stub: Buffer, { peMachine }: Platform): Buffer {
  const copy = Buffer.from(stub);
  copy.writeUInt16LE(peMachine, copy.readUInt32LE(PE_OFFSET_AT) + 4);
  return copy;
}

/** Authenticode signature with a fixed time. @throws VmError HARNESS_TOOL_FAILED */
export async function signPe(tools: Tools, input: string, output: string, key: TestKey): Promise<void> {
  await tools.run([
    ...["osslsigncode", "sign", "-h", "sha256", "-time", SIGNING_TIME, "-certs", key.certificatePath, "-key", key.keyPath],
    ...["-in", input, "-out", output],
  ]);
}
