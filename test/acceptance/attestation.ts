import { randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { predictPcrs } from "../../attest/measure/predict.ts";
import { runVerify } from "../../attest/verify/command.ts";
import type { Report } from "../../attest/verify/report.ts";
import { printSitePolicy, type SitePolicy } from "../../attest/verify/runtime-policy.ts";
import { readPcrs, runtimeVerdict, testPrediction, testSitePolicy } from "../vm/attest.ts";
import { VmError } from "../vm/errors.ts";
import { expectEqual, expectMatch } from "../vm/expect.ts";
import type { Machine } from "../vm/machine.ts";
import { Relay } from "../vm/relay.ts";
import type { Scenario, Test } from "../vm/suite.ts";
import { createCertifiedTpm } from "../vm/tpm.ts";

async function verdict(
  test: Test,
  trust: "release" | "test",
  nonce?: string,
): Promise<Awaited<ReturnType<typeof runtimeVerdict>>> {
  return await runtimeVerdict(test.release, test.bench, await test.shared(), {
    trust,
    ...(nonce === undefined ? {} : { checkedNonce: nonce }),
  });
}

/** `secai verify runtime` as somebody outside types it: the release, its publisher's key, the site's policy, and a way to the machine. */
async function askRemotely(test: Test, relay: Relay, policy: SitePolicy): Promise<{ exit: number; report: Report }> {
  const file = join(test.bench.dir, `${test.world.uniqueName("site")}.json`);
  await writeFile(file, printSitePolicy(policy));
  const { dir } = test.release;
  const trust = ["--key", join(dir, "keys/release.pub"), "--designation", test.release.measurements().designation];
  const said = { stdout: [] as string[], stderr: [] as string[] };
  const io = {
    stdout: (text: string) => void said.stdout.push(text),
    stderr: (text: string) => void said.stderr.push(text),
    env: {},
  };
  const args = ["runtime", "--release", dir, ...trust, "--policy", file, "--json", "--deadline", "300"];
  const exit = await runVerify([...args, "--remote", ...relay.transport], io);
  if (said.stdout.length === 0) throw new VmError("CHECK_FAILED", { expected: "a report", actual: said.stderr.join("").trim() });
  return { exit, report: JSON.parse(said.stdout.join("")) as Report };
}

export const attestationScenarios: readonly Scenario[] = [
  {
    id: "attest.pcrs",
    title: "PCR 4, 7, 9, 11 and 12 are exactly what was predicted from the files",
    needs: "shared",
    smoke: true,
    async run(test) {
      const measured = await readPcrs(await test.shared());
      const predicted = testPrediction(test.release, test.bench).pcrs;
      for (const index of ["4", "7", "9", "11", "12"] as const)
        expectEqual(measured.get(Number(index)), predicted[index], `PCR ${index}`);
    },
  },
  {
    id: "attest.release-prediction",
    title: "measurements.json is what its own files predict, and PCR 11 of the machine is the release's",
    needs: "shared",
    async run(test) {
      const { release } = test;
      const measurements = release.measurements();
      const prediction = predictPcrs({
        bootloader: release.read("bootx64.efi"),
        uki: release.read("uki.efi"),
        ownerGuid: measurements.secureBoot.ownerGuid,
        PK: release.read("keys/PK.crt"),
        KEK: release.read("keys/KEK.crt"),
        db: [release.read("keys/db.crt")],
      });
      for (const index of ["4", "7", "9", "11", "12"] as const)
        expectEqual(measurements.pcrs.sha256[index], prediction.pcrs[index], `PCR ${index}`);
      expectEqual(measurements.initrd, prediction.initrd, "initrd");
      expectEqual((await readPcrs(await test.shared())).get(11), measurements.pcrs.sha256["11"], "PCR 11 of the machine");
    },
  },
  {
    id: "attest.quote",
    title: "Quote and running system are accepted against the release, with the test addon expected",
    needs: "shared",
    smoke: true,
    async run(test) {
      const started = performance.now();
      const { verdict: result, findings } = await verdict(test, "test");
      test.measure("quoteAndVerifyMs", performance.now() - started);
      expectEqual(findings.join("\n"), "", "failed checks");
      expectEqual(result, "accepted", "verdict");
    },
  },
  {
    id: "attest.nonce",
    title: "The same quote under another nonce is rejected",
    needs: "shared",
    async run(test) {
      const { verdict: result, failures } = await verdict(test, "test", randomBytes(32).toString("hex"));
      expectEqual(result, "rejected", "verdict");
      expectMatch(failures.join(" "), /NONCE/, "refusal");
    },
  },
  {
    id: "attest.restart",
    title: "After a restart the machine is accepted again, by the same attestation key",
    needs: "fork",
    async run(test) {
      const ask = async (machine: Machine) => await runtimeVerdict(test.release, test.bench, machine, { trust: "test" });
      const before = await ask(await test.shared());
      const after = await ask(await test.forkSecond());
      expectEqual(after.findings.join("\n"), "", "failed checks");
      const keyOf = ({ evidence }: typeof before) => Buffer.from(evidence.quote?.attestationKey ?? []).toString("hex");
      expectEqual(keyOf(after), keyOf(before), "attestation key");
    },
  },
  {
    id: "attest.remote",
    title: "secai verify runtime --remote accepts the machine, and its key only from a TPM of a maker that the site trusts",
    needs: "boot",
    long: true,
    async run(test) {
      const { stateDir, root, intermediate } = await createCertifiedTpm(test.bench.tools, join(test.bench.dir, "maker"));
      const stranger = await createCertifiedTpm(test.bench.tools, join(test.bench.dir, "stranger"));
      const machine = await test.machine(await test.disk(), {}, { tpmState: stateDir });
      await machine.boot();
      await machine.waitForRunning();
      const relay = await Relay.start(machine);
      try {
        const site = await testSitePolicy(test.release, test.bench);
        const started = performance.now();
        const good = await askRemotely(test, relay, { ...site, tpmAnchors: [root], tpmIntermediates: [intermediate] });
        test.measure("remoteMs", performance.now() - started);
        const open = good.report.checks.filter(({ status }) => status === "fail" || status === "undecided");
        expectEqual(open.map(({ id, subject }) => `${id} ${subject ?? ""}`).join("\n"), "", "failed checks");
        expectEqual(good.exit, 0, "exit status");
        const proved = good.report.checks.filter(({ id }) => id === "quote.endorsement" || id === "quote.ak-bound");
        expectEqual(proved.map(({ status }) => status).join(" "), "pass pass", "endorsement");
        const bad = await askRemotely(test, relay, { ...site, tpmAnchors: [stranger.root, stranger.intermediate] });
        expectEqual(bad.exit, 1, "exit status with another maker");
        const failed = bad.report.checks.filter(({ status }) => status === "fail").map(({ id }) => id);
        expectEqual(failed.join(" "), "quote.endorsement", "failed checks with another maker");
      } finally {
        relay.close();
      }
    },
  },
];
