import type { SignedState, StateBundle } from "../../services-src/kit/api/attestation.ts";
import { ENROL, PROFILE } from "../vm/enrolment.ts";
import { VmError } from "../vm/errors.ts";
import { expectEqual, expectTrue } from "../vm/expect.ts";
import type { Machine } from "../vm/machine.ts";
import { oncePerRun } from "../vm/once.ts";
import { askService, documentOf, unitOf } from "../vm/services.ts";
import type { Scenario } from "../vm/suite.ts";

// Against a machine that was enrolled, by root in it: what its attestor says of itself afterwards.

const STATE = "/var/lib/secure-ai/runtime-attestor";
const KEPT = "/run/secai-test/profile.json";
const BACK = `cat ${KEPT} > ${PROFILE}`;
const POLICY = "/etc/secure-ai/policy/policy.yaml";

interface Attack {
  readonly id: string;
  readonly what: string;
  readonly code: string;
  readonly tamper: string;
  /** It shows in the attestation of the attestor's own start, and in that alone: the loss is on record then. */
  readonly atStart?: true;
  /** What makes it as it was; an attack without comes last. */
  readonly restore?: string;
}

const edited = (sed: string) => `sed -E '${sed}' ${KEPT} > ${PROFILE} && ! cmp -s ${KEPT} ${PROFILE}`;

const attacks: readonly Attack[] = [
  {
    id: "profile-deleted",
    what: "loses its profile",
    code: "PROFILE_DOWNGRADE",
    tamper: `rm ${PROFILE}`,
    restore: `cp -p ${KEPT} ${PROFILE}`,
  },
  {
    id: "profile-evaluation",
    what: "gets the profile of a machine that nobody enrolled",
    code: "PROFILE_DOWNGRADE",
    tamper: `printf '{"version":2,"mode":"evaluation"}' > ${PROFILE}`,
    restore: BACK,
  },
  {
    id: "profile-twice",
    what: "has a profile in which a member stands twice",
    code: "PROFILE_MALFORMED",
    tamper: edited('s/"mode": "hardware",/&"mode": "hardware",/'),
    restore: BACK,
  },
  {
    id: "profile-linked",
    what: "has a profile that is a link to somewhere else",
    code: "OBSERVATION_FAILED|FILE_UNREADABLE",
    tamper: `rm ${PROFILE} && ln -s ${KEPT} ${PROFILE}`,
    restore: `rm ${PROFILE} && cp -p ${KEPT} ${PROFILE}`,
  },
  {
    id: "other-key",
    what: "was enrolled with another TPM's key",
    code: "AK_UNKNOWN",
    tamper: edited(`s/("ak_fingerprint": ")[0-9a-f]{8}/\\100000000/`),
    restore: BACK,
  },
  {
    id: "other-root",
    what: "was enrolled with another release",
    code: "ROOT_HASH",
    tamper: edited(`s/("enrolled_deployment": "sha256:)[0-9a-f]{8}/\\100000000/`),
    restore: BACK,
  },
  {
    id: "other-firmware",
    what: "was enrolled with other firmware keys",
    code: "SECURE_BOOT_KEYS",
    tamper: edited(`s/("7": ")[0-9a-f]{8}/\\100000000/`),
    restore: BACK,
  },
  {
    id: "policy-covered",
    what: "has a policy covered by another",
    code: "FILE_COVERED|POLICY_DIGEST",
    tamper: `cp ${POLICY} /run/secai-test/p && echo '# more' >> /run/secai-test/p && mount --bind /run/secai-test/p ${POLICY}`,
    restore: `umount ${POLICY}`,
  },
  {
    id: "memory-lost",
    what: "has an attestor that forgot everything",
    code: "STATE_LOST",
    tamper: `systemctl stop ${unitOf("runtime-attestor")} && rm $(ls ${STATE}/*.json) && systemctl start ${unitOf("runtime-attestor")}`,
    atStart: true,
    restore: "true",
  },
  {
    id: "pcr-extended",
    what: "measures something of its own, as one that lets somebody else's code in would",
    code: "BOOT_ADDON",
    tamper: `TPM2TOOLS_TCTI=device:/dev/tpmrm0 tpm2 pcrextend 12:sha256=${"11".repeat(32)}`,
  },
];

interface Seen {
  readonly id: string;
  readonly bundle: StateBundle;
  /** After the machine was put back. */
  readonly after: StateBundle | undefined;
}

/** In one machine: enrolled, then attacked in one way after the other, each put back. */
const runOf = oncePerRun(async (test): Promise<readonly Seen[]> => {
  const machine = await test.fork();
  const timeoutMs = test.bench.limits.settle;
  // It would contain what happens here, which is another suite's subject.
  await machine.succeeds(`systemctl stop ${unitOf("integrity-monitor")}`, { timeoutMs });
  await machine.succeeds(`${ENROL} enrol --accept-addon --yes && mkdir -p /run/secai-test && cp -p ${PROFILE} ${KEPT}`, {
    timeoutMs,
  });
  expectEqual((await refresh(machine, 0)).state, "attested", "the enrolled machine, as a control");
  const seen: Seen[] = [];
  for (const [index, { id, tamper, restore, atStart }] of attacks.entries()) {
    await machine.succeeds(tamper, { timeoutMs });
    const bundle = atStart ? await published(machine) : await refresh(machine, 2 * index + 1);
    if (restore !== undefined) await machine.succeeds(restore, { timeoutMs });
    seen.push({ id, bundle, after: restore === undefined ? undefined : await refresh(machine, 2 * index + 2) });
  }
  return seen;
});

async function published(machine: Machine): Promise<StateBundle> {
  return documentOf<SignedState>(await askService(machine, "runtime-attestor", { path: "/api/v1/attest" })).bundle;
}

async function refresh(machine: Machine, number: number): Promise<StateBundle> {
  const nonce = number.toString(16).padStart(64, "0");
  const question = { path: "/api/v1/refresh", body: { request_nonce: nonce } };
  const { bundle } = documentOf<SignedState>(await askService(machine, "runtime-attestor", question));
  expectEqual(bundle.request_nonce, nonce, "nonce");
  return bundle;
}

export const enrolmentScenarios: readonly Scenario[] = attacks.map(({ id, what, code }) => ({
  id: `enrolment.${id}`,
  title: `An enrolled machine that ${what} is not attested: ${code.replace("|", " or ")}`,
  needs: "fork",
  async run(test) {
    const seen = (await runOf(test)).find((one) => one.id === id);
    if (seen === undefined) throw new VmError("CHECK_FAILED", { expected: `an answer about ${id}`, actual: "none" });
    const { bundle, after } = seen;
    const codes = bundle.failures.map((failure) => failure.code);
    expectTrue(bundle.state === "failed" || bundle.state === "degraded", "failed or degraded", bundle.state);
    expectEqual(bundle.evidence_verified, false, "evidence_verified");
    expectTrue(
      code.split("|").some((one) => codes.includes(one)),
      code,
      codes.join(" ") || "none",
    );
    if (after !== undefined) expectEqual(after.state, "attested", "state once it is put back");
  },
}));
