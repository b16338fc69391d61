import { expectCode, expectEqual, expectMatch } from "../vm/expect.ts";
import type { Machine } from "../vm/machine.ts";
import {
  AUDIT_ANCHOR,
  AUDIT_LOG,
  decide,
  decisionOf,
  POLICY_ENGINE_UNIT,
  readToken,
  verifyAuditOutside,
} from "../vm/policy-engine.ts";
import type { Scenario } from "../vm/suite.ts";

/** Ways to tamper with the log, and the finding that names each. */
const TAMPERINGS = [
  {
    id: "cut",
    title: "with its last records cut off",
    script: `head -n -2 ${AUDIT_LOG} > /run/a && cat /run/a > ${AUDIT_LOG}`,
    code: "AUDIT_TRUNCATED",
  },
  { id: "edited", title: "with one word edited", script: `sed -i '0,/deny/s//deni/' ${AUDIT_LOG}`, code: "AUDIT_MAC" },
  {
    id: "line-removed",
    title: "with a record taken out of the middle",
    script: `sed -i 3d ${AUDIT_LOG}`,
    code: "AUDIT_CHAIN_BROKEN",
  },
  { id: "swapped", title: "with two records swapped", script: `sed -i '3{h;d};4{G}' ${AUDIT_LOG}`, code: "AUDIT_CHAIN_BROKEN" },
  { id: "deleted", title: "deleted", script: `rm ${AUDIT_LOG}`, code: "AUDIT_MISSING" },
  { id: "anchor-deleted", title: "without its anchor", script: `rm ${AUDIT_ANCHOR}`, code: "AUDIT_MISSING" },
] as const;

async function withRecords(machine: Machine): Promise<void> {
  const token = await readToken(machine);
  for (let index = 0; index < 4; index += 1)
    decisionOf(await decide(machine, token, { domain: "tool_access", subject: `tool-${index}` }));
}

export const auditScenarios: readonly Scenario[] = TAMPERINGS.map(({ id, title, script, code }) => ({
  id: `audit.${id}`,
  title: `An audit log ${title} is found out, outside and by the service itself: ${code}`,
  needs: "fork" as const,
  ...(id === "edited" ? { smoke: true as const } : {}),
  async run(test) {
    const machine = await test.fork();
    await withRecords(machine);
    await verifyAuditOutside(test.bench, machine);
    await machine.succeeds(`systemctl stop ${POLICY_ENGINE_UNIT} && ${script}`);
    await expectCode(() => verifyAuditOutside(test.bench, machine), code);
    await machine.run(`systemctl start ${POLICY_ENGINE_UNIT}`, { timeoutMs: 120_000 });
    expectEqual((await machine.run(`systemctl is-active ${POLICY_ENGINE_UNIT}`)).stdout.trim(), "failed", "state of the service");
    expectMatch(
      await machine.succeeds(`journalctl -b -u ${POLICY_ENGINE_UNIT} -n 20 --no-pager -o cat`),
      new RegExp(code),
      "what the service says",
    );
  },
}));
