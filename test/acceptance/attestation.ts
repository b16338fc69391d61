import { randomBytes } from "node:crypto";
import { predictPcrs } from "../../attest/measure/predict.ts";
import { readPcrs, runtimeVerdict, testPrediction } from "../vm/attest.ts";
import { expectEqual, expectMatch } from "../vm/expect.ts";
import type { Scenario, Test } from "../vm/suite.ts";

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
];
