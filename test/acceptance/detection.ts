import { fileURLToPath } from "node:url";
import type { Detection, Question, Tampering } from "../guest/detect.ts";
import { VmError } from "../vm/errors.ts";
import { expectEqual, expectTrue } from "../vm/expect.ts";
import { GUEST_NODE, pushProgram } from "../vm/guest-program.ts";
import type { Machine } from "../vm/machine.ts";
import { oncePerRun } from "../vm/once.ts";
import { SERVICES, unitOf } from "../vm/services.ts";
import type { Scenario, Test } from "../vm/suite.ts";

const PROGRAM = fileURLToPath(new URL("../guest/detect.ts", import.meta.url));
/** Found by an event or by the look of every second; natively, on an idle machine. */
const NATIVE_MS = 2_000;
/** How far apart whole looks are. */
const SWEEP_MS = 30_000;
/** The monitor's own program takes ten to twenty times as long under TCG, on cores that it shares with the machine's others. */
const TCG_MS = 15_000;

interface Case extends Tampering {
  readonly what: string;
  readonly category: string;
  /** Of the violation: exactly this, or what begins with it where it ends in "*". */
  readonly path: string;
}

/** A copy of a file with a line more, mounted over it; and away again. */
function covered(id: string, what: string, category: string, path: string): Case {
  const copy = `/run/secai-test/${id}`;
  return {
    ...{ id, what, category, path },
    tamper: `cp -p ${path} ${copy} && echo '# more' >> ${copy} && mount --bind ${copy} ${path}`,
    restore: `umount ${path} && rm ${copy}`,
  };
}

/** A file that was not there. */
function added(id: string, what: string, category: string, path: string, content = "x"): Case {
  return {
    id,
    what,
    category,
    path,
    tamper: `mkdir -p ${path.replace(/\/[^/]*$/, "")} && printf '${content}' > ${path}`,
    restore: `rm ${path}`,
  };
}

const UNIT = "[Service]\\nExecStart=/bin/true\\n";
const LISTEN = (address: string, port: number) =>
  `setsid ${GUEST_NODE} -e 'require("net").createServer().listen(${port},"${address}")' > /dev/null 2>&1 < /dev/null & echo $! > /run/secai-test/listener; sleep 2`;

const cases: readonly Case[] = [
  covered("policy", "a default policy is covered by another", "policy_file", "/etc/secure-ai/policy/policy.yaml"),
  covered(
    "containment",
    "what containment does is covered by something else",
    "policy_file",
    "/etc/secure-ai/policy/incident-containment.yaml",
  ),
  covered("firewall-file", "the firewall's file is covered by another", "policy_file", "/etc/nftables.conf"),
  covered("accounts", "the accounts are covered by others", "trust_material", "/etc/passwd"),
  covered(
    "bundle",
    "a service's program is covered by another",
    "service_binary",
    "/usr/lib/secure-ai/services/policy-engine.mjs",
  ),
  covered("runner", "what starts the services is covered by another", "service_binary", "/usr/libexec/secure-ai/secai-run.mjs"),
  covered(
    "unit-covered",
    "a unit of the release is covered by another",
    "systemd_unit",
    "/usr/lib/systemd/system/secure-ai-policy-engine.service",
  ),
  added("unit", "a unit lies in wait for the next reload", "systemd_unit", "/run/systemd/system/later.service", UNIT),
  added(
    "unit-drop-in",
    "a drop-in lies beside a unit of the release",
    "systemd_unit",
    "/run/systemd/system/secure-ai-policy-engine.service.d/more.conf",
    UNIT,
  ),
  added(
    "unit-generated",
    "a unit among those that generators make",
    "systemd_unit",
    "/run/systemd/generator/later.service",
    UNIT,
  ),
  added("trust", "a key that nobody brought through a ceremony", "trust_material", "/var/lib/secure-ai/keys/other.pub"),
  added(
    "profile",
    "a machine that suddenly has an enrolment profile",
    "state_file",
    "/var/lib/secure-ai/tpm-attestation/profile.json",
    "{}",
  ),
  added("model", "a model that the registry does not know", "model_file", "/var/lib/secure-ai/vault/models/other.gguf"),
  {
    ...added("credential", "a credential more than were made", "*", "/var/lib/secure-ai/credentials/other.token"),
    path: "/var/lib/secure-ai/credentials*",
  },
  {
    id: "firewall-rule",
    what: "the firewall gets a rule more",
    category: "firewall",
    path: "*",
    tamper: "nft insert rule inet secure_ai output accept comment more",
    restore:
      "nft delete rule inet secure_ai output handle $(nft -a list chain inet secure_ai output | sed -n 's/.*comment \"more\".*handle //p')",
  },
  {
    id: "firewall-table",
    what: "a table of the firewall's that the release has not",
    category: "firewall",
    path: "*",
    tamper: "nft add table inet other",
    restore: "nft delete table inet other",
  },
  {
    id: "listener-everywhere",
    what: "a program listens on every address",
    category: "listener",
    path: "*",
    tamper: LISTEN("0.0.0.0", 9999),
    restore: "kill $(cat /run/secai-test/listener)",
  },
  {
    id: "listener-impostor",
    what: "root listens where a service should",
    category: "listener",
    path: "*",
    tamper: LISTEN("127.0.0.1", 8470),
    restore: "kill $(cat /run/secai-test/listener)",
  },
  {
    id: "mount",
    what: "an empty directory is mounted over the policies",
    category: "mount",
    path: "/etc/secure-ai*",
    tamper: "mount -t tmpfs none /etc/secure-ai/policy",
    restore: "umount /etc/secure-ai/policy",
  },
  {
    id: "mount-namespace",
    what: "the same where only one process sees it",
    category: "mount",
    path: "*",
    tamper:
      "setsid unshare -m /bin/bash -c 'mount --make-rprivate / && mount -t tmpfs none /etc/secure-ai/policy && exec sleep 300' > /dev/null 2>&1 < /dev/null & echo $! > /run/secai-test/ns; sleep 1",
    restore: "pkill -f '^sleep 300'",
  },
];

/** In one machine: every tampering after the other, each put back. */
const detectionsOf = oncePerRun(
  async (test): Promise<readonly Detection[]> => ask(test, await test.fork(), { limitMs: 30_000, together: false, cases }),
);

async function ask(
  test: Test,
  machine: Machine,
  { limitMs, together, cases }: Pick<Question, "limitMs" | "together" | "cases">,
): Promise<readonly Detection[]> {
  const program = await pushProgram(machine, PROGRAM, "detect");
  const question: Question = {
    port: SERVICES["integrity-monitor"].port,
    tokenPath: "/var/lib/secure-ai/credentials/integrity-monitor.token",
    limitMs,
    together,
    cases: cases.map(({ id, tamper, restore }) => ({ id, tamper, restore })),
  };
  const options = { stdin: JSON.stringify(question), timeoutMs: test.bench.limits.settle * 3 };
  return JSON.parse(await machine.succeeds(`${GUEST_NODE} ${program}`, options)) as Detection[];
}

const isLike = (value: string, pattern: string) =>
  pattern.endsWith("*") ? value.startsWith(pattern.slice(0, -1)) : value === pattern;

/** What a sweep alone can see, in files that no look of every second opens. */
const SWEPT: readonly string[] = ["policy", "bundle", "accounts", "trust", "profile", "model"];

const bySweep: Scenario = {
  id: "detect.sweep",
  title: "With events turned off, the sweep of every 30 seconds tells of policies, programs, accounts, keys and models",
  needs: "fork",
  long: true,
  async run(test) {
    const machine = await test.fork();
    const dropIn = `/run/systemd/system/${unitOf("integrity-monitor")}.d`;
    await machine.succeeds(
      `mkdir -p ${dropIn} && printf '[Service]\\nEnvironment=EVENTS=off\\n' > ${dropIn}/events.conf && systemctl daemon-reload`,
    );
    await machine.succeeds(`systemctl restart ${unitOf("integrity-monitor")}`, { timeoutMs: test.bench.limits.settle });
    const swept = cases.filter(({ id }) => SWEPT.includes(id));
    expectEqual(swept.length, SWEPT.length, "cases");
    // The sweep before ends somewhere within the first 30 s, the next one 30 s and its own time later.
    const [answer] = await ask(test, machine, { limitMs: SWEEP_MS + TCG_MS, together: true, cases: swept });
    for (const { category, path, what } of swept)
      expectTrue(
        answer?.violations.some((one) => isLike(one.category, category) && isLike(one.path, path)) === true,
        `to be told that ${what}`,
        JSON.stringify(answer?.violations).slice(0, 800),
      );
  },
};

export const detectionScenarios: readonly Scenario[] = [
  ...cases.map(
    ({ id, what, category, path }): Scenario => ({
      id: `detect.${id}`,
      title: `The integrity monitor tells at once when ${what}`,
      needs: "fork",
      long: true,
      async run(test) {
        const found = (await detectionsOf(test)).find((detection) => detection.id === id);
        if (found === undefined) throw new VmError("CHECK_FAILED", { expected: `an answer about ${id}`, actual: "none" });
        test.measure("detectedMs", found.detectedMs);
        test.measure("clearedMs", found.clearedMs);
        expectEqual(found.error ?? "", "", "what went wrong in the machine");
        const told = found.violations.map((one) => `${one.category} ${one.path} (${one.kind})`).join(", ");
        expectTrue(
          found.violations.some((one) => isLike(one.category, category) && isLike(one.path, path)),
          `${category} ${path}`,
          told || "nothing",
        );
        const limit = test.bench.accelerator === "kvm" ? NATIVE_MS : TCG_MS;
        expectTrue(found.detectedMs >= 0 && found.detectedMs <= limit, `told of within ${limit} ms`, `${found.detectedMs} ms`);
        expectTrue(found.clearedMs >= 0, "nothing of it stands once it is put back", told);
      },
    }),
  ),
  bySweep,
];
