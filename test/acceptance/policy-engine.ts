import { setTimeout as sleep } from "node:timers/promises";
import { policyDigest } from "../../services-src/policy-engine/policy.ts";
import { expectEqual, expectMatch, expectNone, expectTrue } from "../vm/expect.ts";
import { http } from "../vm/guest.ts";
import {
  AUDIT_LOG,
  decide,
  decisionOf,
  POLICY_ENGINE_PORT,
  POLICY_ENGINE_UNIT,
  readToken,
  verifyAuditOutside,
} from "../vm/policy-engine.ts";
import type { Scenario } from "../vm/suite.ts";

/** Decisions that the shipped policies must give; one row each. */
const DECISIONS = [
  {
    request: { domain: "agent_risk", subject: "filesystem.read" },
    decision: "allow",
    rule: "agent.allowed_tools.filesystem.read",
  },
  {
    request: { domain: "agent_risk", subject: "outbound_request" },
    decision: "ask",
    rule: "agent.hard_approval.outbound_request",
  },
  { request: { domain: "agent_risk", subject: "change_security" }, decision: "deny", rule: "agent.always_deny.change_security" },
  { request: { domain: "agent_risk", subject: "no_such_action" }, decision: "deny", rule: "agent.default_deny" },
  { request: { domain: "tool_access", subject: "shell.exec" }, decision: "deny", rule: "tools.deny.shell.exec" },
  { request: { domain: "tool_access", subject: "no.such.tool" }, decision: "deny", rule: "tools.default_deny" },
  { request: { domain: "egress", subject: "https://example.com/" }, decision: "deny", rule: /^(airlock|defaults\.network)\./ },
  {
    request: { domain: "model_promotion", subject: "m", params: { format: "gguf" } },
    decision: "allow",
    rule: "models.allowed_formats.gguf",
  },
  {
    request: { domain: "model_promotion", subject: "m", params: { format: "pickle" } },
    decision: "deny",
    rule: "models.deny_formats.pickle",
  },
  {
    request: { domain: "sensitivity", subject: "high", params: { ceiling: "low" } },
    decision: "deny",
    rule: "sensitivity.exceeded",
  },
  { request: { domain: "no_such_domain", subject: "x" }, decision: "deny", rule: "unknown_domain" },
] as const;

/** Decisions asked for while the service is ended; enough to span its restart. */
const LOAD_REQUESTS = 60;

export const policyEngineScenarios: readonly Scenario[] = [
  {
    id: "policy-engine.health",
    title: "The policy engine answers on its documented port without a token",
    needs: "shared",
    smoke: true,
    async run(test) {
      const response = await http(await test.shared(), POLICY_ENGINE_PORT, { path: "/health" });
      expectEqual(response.status, 200, "status");
      const body = JSON.parse(response.body) as { status: string; policy_digest: string };
      expectEqual(body.status, "ok", "health");
      expectMatch(body.policy_digest, /^[0-9a-f]{64}$/, "policy_digest");
    },
  },
  {
    id: "policy-engine.decisions",
    title: "Allow, ask and deny, each with the rule that decided",
    needs: "shared",
    smoke: true,
    async run(test) {
      const machine = await test.shared();
      const token = await readToken(machine);
      for (const { request, decision, rule } of DECISIONS) {
        const answer = decisionOf(await decide(machine, token, request));
        const what = `${request.domain} ${request.subject}`;
        expectEqual(answer.decision, decision, what);
        if (typeof rule === "string") expectEqual(answer.evidence.rule_id, rule, what);
        else expectMatch(answer.evidence.rule_id, rule, what);
      }
    },
  },
  {
    id: "policy-engine.policy-digest",
    title: "The digest in the evidence is that of the policy files in the sealed root",
    needs: "shared",
    async run(test) {
      const machine = await test.shared();
      const read = (name: string): Promise<Buffer> => machine.pullFile(`/etc/secure-ai/policy/${name}`);
      const digest = policyDigest({ policy: await read("policy.yaml"), agent: await read("agent.yaml") });
      const body = JSON.parse((await http(machine, POLICY_ENGINE_PORT, { path: "/health" })).body) as { policy_digest: string };
      expectEqual(body.policy_digest, digest, "policy_digest");
    },
  },
  {
    id: "policy-engine.audit-record",
    title: "A decision is in the audit log before its answer is out, and the chain verifies outside the machine",
    needs: "fork",
    smoke: true,
    async run(test) {
      const machine = await test.fork();
      const before = await verifyAuditOutside(test.bench, machine);
      const marker = `marker-${Date.now()}`;
      decisionOf(await decide(machine, await readToken(machine), { domain: "tool_access", subject: marker }));
      expectMatch(await machine.succeeds(`tail -n 1 ${AUDIT_LOG}`), new RegExp(marker), "last audit record");
      const after = await verifyAuditOutside(test.bench, machine);
      expectEqual(after.records, before.records + 1, "audit records");
    },
  },
  {
    id: "policy-engine.sigterm-under-load",
    title: "Ended by SIGTERM under load, it drains, is restarted, and every answered decision is in the audit log",
    needs: "fork",
    async run(test) {
      const machine = await test.fork();
      const token = await readToken(machine);
      const before = await verifyAuditOutside(test.bench, machine);
      const pid = (await machine.succeeds(`systemctl show -P MainPID ${POLICY_ENGINE_UNIT}`)).trim();
      const load = Array.from({ length: LOAD_REQUESTS }, async (_, index) => {
        await sleep(index * 20);
        return await decide(machine, token, { domain: "tool_access", subject: `load-${index}` }).then(
          ({ status }) => status,
          () => 0,
        );
      });
      await sleep(300);
      await machine.succeeds(`kill -TERM ${pid}`);
      const answered = (await Promise.all(load)).filter((status) => status === 200).length;
      await machine.waitForPort(POLICY_ENGINE_PORT, test.bench.limits.settle);
      expectTrue(
        (await machine.succeeds(`systemctl show -P MainPID ${POLICY_ENGINE_UNIT}`)).trim() !== pid,
        "a new process",
        "the old one",
      );
      const after = await verifyAuditOutside(test.bench, machine);
      const logged = Number(await machine.succeeds(`cat ${AUDIT_LOG} | grep -c load-`));
      test.measure("answered", answered);
      expectTrue(answered > 0, "some decisions answered", "none");
      expectTrue(logged >= answered, `${answered} records`, `${logged}`);
      expectTrue(after.records - before.records >= answered, `${answered} more records`, `${after.records - before.records}`);
    },
  },
  {
    id: "policy-engine.confined",
    title: "It runs as its own unprivileged user, with no capability, and sees no device, home or network",
    needs: "shared",
    async run(test) {
      const machine = await test.shared();
      const status = await machine.succeeds(`cat /proc/$(systemctl show -P MainPID ${POLICY_ENGINE_UNIT})/status`);
      expectMatch(status, /^Uid:\s+([1-9]\d*)\s+\1\s+\1\s+\1$/m, "user");
      for (const set of ["CapPrm", "CapEff", "CapBnd", "CapAmb"]) expectMatch(status, new RegExp(`^${set}:\\s+0{16}$`, "m"), set);
      expectMatch(status, /^NoNewPrivs:\s+1$/m, "no new privileges");
      expectMatch(status, /^Seccomp:\s+2$/m, "seccomp");
      const show = await machine.succeeds(
        `systemctl show -P IPAddressDeny -P ProtectSystem -P PrivateDevices ${POLICY_ENGINE_UNIT}`,
      );
      expectMatch(show, /0\.0\.0\.0\/0/, "IPAddressDeny");
    },
  },
  {
    id: "policy-engine.credentials",
    title: "Its credentials are root's alone, single-link, and nobody else's process can read them",
    needs: "shared",
    async run(test) {
      const machine = await test.shared();
      expectEqual((await machine.succeeds("stat -c '%U %a' /var/lib/secure-ai/credentials")).trim(), "root 700", "directory");
      const files = await machine.succeeds(
        "stat -c '%U %a %h %F' /var/lib/secure-ai/credentials/*.token /var/lib/secure-ai/credentials/*.key",
      );
      for (const line of files.trim().split("\n")) expectEqual(line, "root 600 1 regular file", "a credential");
      const others = "find /var/lib/secure-ai/credentials -type f -not -name '*.token' -not -name '*.key' -not -name '*.pub'";
      expectNone(await machine.succeeds(others), "files that are neither secret nor public key");
    },
  },
];
