import { extensionOf, parseGpuBackends } from "../../attest/formats/gpu-backends.ts";
import { type Probe, parseProbe } from "../../attest/formats/gpu-probe.ts";
import { type GpuState, parseGpuState } from "../../attest/formats/gpu-state.ts";
import { parseInferenceEnv } from "../../attest/formats/inference-env.ts";
import { expectEqual, expectMatch, expectTrue } from "../vm/expect.ts";
import { extensionState } from "../vm/extension.ts";
import type { Machine } from "../vm/machine.ts";
import type { Scenario } from "../vm/suite.ts";

const STATE = "/var/lib/secure-ai/state/gpu.json";
const ENVIRONMENT = "/var/lib/secure-ai/inference.env";
const NODE = "/usr/bin/node --jitless --no-expose-wasm --disallow-code-generation-from-strings";
const PROBE = `${NODE} /usr/libexec/secure-ai/secai-gpu-probe.mjs`;
const SOFTWARE_DRIVER = "/usr/share/vulkan/icd.d/lvp_icd.json";
/** Mesa compiles a dozen shaders for the CPU; an emulated CPU takes ten times as long for it. In ms. */
const SHADERS_LIMIT_MS = 1_200_000;

async function stateOf(machine: Machine): Promise<GpuState> {
  await machine.succeeds("systemctl is-active secure-ai-gpu-detect.service");
  return parseGpuState(Buffer.from(await machine.succeeds(`cat ${STATE}`)));
}

async function probeIn(machine: Machine, command: string): Promise<Probe> {
  const out = await machine.succeeds(command, { timeoutMs: SHADERS_LIMIT_MS });
  return parseProbe(Buffer.from(`${out.trimEnd().split("\n").at(-1)}\n`));
}

export const gpuScenarios: readonly Scenario[] = [
  {
    id: "gpu.truth",
    title: "The machine says what it computes with, and of every declared backend why it is not used",
    needs: "shared",
    smoke: true,
    async run(test) {
      const machine = await test.shared();
      const state = await stateOf(machine);
      expectEqual(`${state.backend} ${state.gpu_layers} ${state.qualified}`, "cpu 0 false", "what is used");
      expectEqual(state.forced_reason, "vm_gpu_disabled", "why the CPU is used");
      expectEqual(state.vm.is_vm && !state.vm.gpu_passthrough, true, `a virtual machine without a GPU: ${state.vm.hypervisor}`);
      const environment = await machine.succeeds(`cat ${ENVIRONMENT}`);
      expectEqual(parseInferenceEnv(environment).backend, "cpu", "the backend that units start with");
      expectEqual(await machine.succeeds(`stat -c '%a %U' ${STATE} ${ENVIRONMENT}`), "644 root\n644 root\n", "modes and owners");

      const declared = parseGpuBackends(Buffer.from(await machine.succeeds("cat /usr/lib/secure-ai/gpu-backends.json"))).backends;
      expectEqual(
        state.backends.map(({ name }) => name).join(),
        declared.map(({ name }) => name).join(),
        "backends with a state",
      );
      const { merged } = await extensionState(machine);
      for (const { name, state: found, reason } of state.backends) {
        const extension = extensionOf(declared.find((one) => one.name === name) ?? { place: "root" });
        const isHere = extension === undefined || merged.includes(extension);
        const expected = name === "cpu" ? /^runs$/ : isHere ? /^(loads, no device|missing library \S+)$/ : /^no hardware$/;
        expectMatch(found, expected, `${name}: ${reason}`);
      }
    },
  },
  {
    id: "gpu.vulkan-computes",
    title: "Through Mesa's renderer for the CPU the Vulkan backend computes the very tokens of the CPU, and is still no GPU",
    needs: "fork",
    long: true,
    async run(test) {
      const machine = await test.fork();
      const cpu = await probeIn(machine, `${PROBE} --backend cpu --tokens 8`);
      const vulkan = await probeIn(machine, `VK_DRIVER_FILES=${SOFTWARE_DRIVER} ${PROBE} --backend vulkan --software --tokens 8`);
      expectEqual(vulkan.outcome, "ran", vulkan.reason);
      expectEqual(vulkan.software, true, "a software renderer");
      expectEqual(vulkan.tokens?.join(" "), cpu.tokens?.join(" "), "tokens of Vulkan");
      expectTrue((vulkan.deviceBytes ?? 0) > 0, "weights in the device's memory", String(vulkan.deviceBytes));
      test.measure("vulkanMs", vulkan.ms ?? 0);
      const usual = await probeIn(machine, `VK_DRIVER_FILES=${SOFTWARE_DRIVER} ${PROBE} --backend vulkan`);
      expectEqual(usual.outcome, "no device", usual.reason);
    },
  },
];
