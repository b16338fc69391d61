import type { Baseline } from "@secai/formats/baseline";
import { about, type CheckResult, fail, notPresent, pass, type SubjectResult } from "./check.ts";
import { given, type ReleaseCheck, type ReleaseEvidence, when } from "./release-evidence.ts";
import { rulesOf } from "./release-policy.ts";

const ABSENT = "this release has no baseline";

/** Runs `check` on the baseline of the release, when it has one that can be used. */
function onBaseline<T extends CheckResult | readonly SubjectResult[]>(
  { baseline }: ReleaseEvidence,
  check: (baseline: Baseline) => T,
): T | CheckResult {
  if (baseline.state === "absent") return notPresent(ABSENT);
  return baseline.state === "found" ? check(baseline.value) : given(baseline, "the baseline", () => pass);
}

export const baselineShapeCheck: ReleaseCheck = {
  id: "baseline.shape",
  title: "The baseline parses and agrees with itself",
  asks: "Whether baseline.json is canonical, sorted, names nothing twice, and everything that it calls a unit, policy, service or firewall is among its files with that digest.",
  codes: [],
  optional: true,
  run: ({ baseline }) => (baseline.state === "absent" ? notPresent(ABSENT) : when(baseline, () => pass)),
};

export const baselineRootHashCheck: ReleaseCheck = {
  id: "baseline.root-hash",
  title: "The baseline describes the root that the kernel image boots",
  asks: "Whether root hash and kernel command line are the same in baseline, measurements and manifest.",
  codes: ["VALUE_MISMATCH", "EVIDENCE_UNUSABLE"],
  optional: true,
  run: (evidence) =>
    onBaseline(evidence, ({ rootHash, commandLine }) =>
      given(evidence.measurements, "the measurements", (measured) =>
        given(evidence.manifest, "the manifest", ({ image }) => {
          const wrong = [
            { expected: measured.rootHash as string, actual: rootHash as string },
            { expected: image.root_hash, actual: rootHash },
            { expected: measured.commandLine, actual: commandLine },
          ].find(({ expected, actual }) => expected !== actual);
          return wrong === undefined ? pass : fail("VALUE_MISMATCH", wrong.expected, wrong.actual);
        }),
      ),
    ),
};

const SERVICE_FILE = /^services\/(.+)\.mjs$/;

/** Both ways: a service that the root runs is in the release, and a bundle of the release is in the root. */
export const baselineConsistencyCheck: ReleaseCheck = {
  id: "baseline.consistency",
  title: "The services of the sealed root are the bundles of the release",
  asks: "Whether each service of the baseline has the digest of services/NAME.mjs, and each bundle of the release lies in the root under its name with its digest.",
  codes: ["SERVICE_MISMATCH", "EVIDENCE_UNUSABLE"],
  optional: true,
  run: (evidence) =>
    onBaseline(evidence, (baseline) => {
      const bundles = [...evidence.inventory.files].flatMap(([file, { sha256 }]) => {
        const name = SERVICE_FILE.exec(file)?.[1];
        return name === undefined ? [] : [[name, sha256] as const];
      });
      const shipped = new Map<string, string>(bundles);
      const run = Object.entries(baseline.services).map(([name, { sha256 }]) => {
        const actual = shipped.get(name);
        return about(name, actual === sha256 ? pass : fail("SERVICE_MISMATCH", sha256, actual ?? "no such bundle"));
      });
      const others = bundles.filter(([name]) => baseline.services[name] === undefined);
      const programs = others.map(([name, digest]) => about(name, programResult(baseline, name, digest)));
      return run.length + programs.length === 0 ? pass : [...run, ...programs];
    }),
};

/** A bundle that is no service is a program that units call: it lies somewhere in the root under its own name. */
function programResult({ files }: Baseline, name: string, digest: string): CheckResult {
  const same = files.filter((entry) => entry.type === "file" && entry.path.endsWith(`/${name}.mjs`));
  if (same.some((entry) => entry.type === "file" && entry.sha256 === digest)) return pass;
  return fail("SERVICE_MISMATCH", digest, same.length === 0 ? "no such file in the root" : "other bytes in the root");
}

const LOOPBACK = /^(127(\.\d{1,3}){3}|::1)$/;

export const baselinePortsCheck: ReleaseCheck = {
  id: "baseline.ports",
  title: "Services listen on the machine itself, or where the policy expects it",
  asks: "Whether every port of the baseline belongs to one of its services and is on a loopback address or among your policy's `exposedPorts`.",
  codes: ["PORT_EXPOSED", "SERVICE_MISMATCH", "EVIDENCE_UNUSABLE"],
  optional: true,
  run: (evidence, policy) =>
    onBaseline(evidence, ({ ports, services }) => {
      const { exposedPorts } = rulesOf(policy);
      const results = ports.map(({ service, address, port }): SubjectResult => {
        const expected = LOOPBACK.test(address) || exposedPorts.some((one) => one.address === address && one.port === port);
        const subject = `${service} ${address} ${port}`;
        if (services[service] === undefined)
          return about(subject, fail("SERVICE_MISMATCH", "a service of the baseline", service));
        return about(
          subject,
          expected ? pass : fail("PORT_EXPOSED", "a loopback address or an exposed port of the policy", address),
        );
      });
      return results.length === 0 ? pass : results;
    }),
};
