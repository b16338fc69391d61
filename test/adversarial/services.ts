import { expectMatch } from "../vm/expect.ts";
import type { Machine } from "../vm/machine.ts";
import { POLICY_ENGINE_UNIT } from "../vm/policy-engine.ts";
import type { Scenario } from "../vm/suite.ts";

/** Restarts the policy engine after a change that it must refuse; returns what it said. */
async function refusesToStart(machine: Machine): Promise<string> {
  await machine.run(`systemctl reset-failed ${POLICY_ENGINE_UNIT}; systemctl restart ${POLICY_ENGINE_UNIT}`, {
    timeoutMs: 120_000,
  });
  const failed = `[ "$(systemctl is-active ${POLICY_ENGINE_UNIT})" = failed ]`;
  await machine.succeeds(`for i in {1..50}; do ${failed} && exit 0; sleep 1; done; exit 1`);
  await machine.fails("exec 5<>/dev/tcp/127.0.0.1/8500");
  return await machine.succeeds(`journalctl -b -u ${POLICY_ENGINE_UNIT} -n 30 --no-pager -o cat`);
}

/** A change to the sealed policy as only root on a running machine could make it: by mounting another file over it. */
async function cover(machine: Machine, path: string, edit: string): Promise<void> {
  await machine.succeeds(
    `sed '${edit}' ${path} > /run/secai-covered && chmod 644 /run/secai-covered && mount --bind /run/secai-covered ${path}`,
  );
}

const POLICY = "/etc/secure-ai/policy/policy.yaml";
const BUNDLE = "/usr/lib/secure-ai/services/policy-engine.mjs";

export const serviceScenarios: readonly Scenario[] = [
  {
    id: "policy.unknown-key",
    title: "A policy file with an unknown key: the service refuses to start, CONFIG_SCHEMA",
    needs: "fork",
    smoke: true,
    async run(test) {
      const machine = await test.fork();
      await cover(machine, POLICY, "$ a surprise: true");
      expectMatch(await refusesToStart(machine), /CONFIG_SCHEMA.*surprise/s, "refusal");
    },
  },
  {
    id: "policy.duplicate-key",
    title: "A policy file in which a key stands twice: the service refuses to start, CONFIG_SYNTAX",
    needs: "fork",
    async run(test) {
      const machine = await test.fork();
      await cover(machine, POLICY, "$ a defaults: {}");
      expectMatch(await refusesToStart(machine), /CONFIG_SYNTAX/, "refusal");
    },
  },
  {
    id: "policy.empty",
    title: "An empty policy file: the service refuses to start",
    needs: "fork",
    async run(test) {
      const machine = await test.fork();
      await cover(machine, POLICY, "d");
      expectMatch(await refusesToStart(machine), /CONFIG_SCHEMA|CONFIG_SYNTAX/, "refusal");
    },
  },
  {
    id: "token.gone",
    title: "Without its credential the service does not start",
    needs: "fork",
    async run(test) {
      const machine = await test.fork();
      await machine.succeeds("mv /var/lib/secure-ai/credentials/policy-engine.token /var/lib/secure-ai/credentials/gone");
      expectMatch(await refusesToStart(machine), /credential/i, "refusal");
    },
  },
  {
    id: "token.altered",
    title: "A credential that is not 64 hex digits: CREDENTIAL_MALFORMED",
    needs: "fork",
    async run(test) {
      const machine = await test.fork();
      await machine.succeeds("echo short > /var/lib/secure-ai/credentials/policy-engine.token");
      expectMatch(await refusesToStart(machine), /CREDENTIAL_MALFORMED/, "refusal");
    },
  },
  {
    id: "bundle.write",
    title: "A service bundle cannot be changed in the running machine: read-only file system",
    needs: "fork",
    smoke: true,
    async run(test) {
      const machine = await test.fork();
      expectMatch(await machine.fails(`echo '//' >> ${BUNDLE}`), /Read-only file system/, "refusal");
      expectMatch(await machine.fails(`rm -f ${BUNDLE}`), /Read-only file system/, "refusal");
    },
  },
  {
    id: "bundle.covered",
    title: "A bundle with another mounted over it is not run: BUNDLE_DIGEST",
    needs: "fork",
    async run(test) {
      const machine = await test.fork();
      await cover(machine, BUNDLE, "$ a // one line more");
      expectMatch(await refusesToStart(machine), /BUNDLE_DIGEST/, "refusal");
    },
  },
];
