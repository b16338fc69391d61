import { expect, test } from "vitest";
import { vector } from "./fixtures/vectors.ts";
import { buildKeylimeState, printKeylimeState } from "./keylime.ts";
import { parseMeasurements } from "./measurements.ts";
import { certificateDer } from "./secure-boot.ts";

const measurements = parseMeasurements(vector("plain/measurements.json"));
const key = (name: string) => vector(`keys/${name}.crt`);
const state = buildKeylimeState(measurements, { PK: key("PK"), KEK: key("KEK"), db: [key("db")] });

test("keys are the enrolled certificates in DER, under their owner", () => {
  const hex = (name: string) => `0x${certificateDer(key(name)).toString("hex")}`;
  const owner = measurements.secureBoot.ownerGuid;
  expect(state.pk).toEqual([{ SignatureOwner: owner, SignatureData: hex("PK") }]);
  expect(state.db).toEqual([{ SignatureOwner: owner, SignatureData: hex("db") }]);
  expect(() => buildKeylimeState(measurements, { PK: Buffer.from("x"), KEK: key("KEK"), db: [] })).toThrow(
    expect.objectContaining({ code: "CERTIFICATE_MALFORMED" }),
  );
});

test("the command line matches itself and nothing that merely contains it", () => {
  const pattern = new RegExp(state.kernels[0]?.kernel_cmdline ?? "");
  expect(pattern.test(measurements.commandLine)).toBe(true);
  for (const other of [`${measurements.commandLine} init=/bin/sh`, ` ${measurements.commandLine}`, "quiet"]) {
    expect(pattern.test(other)).toBe(false);
  }
});

test("the PCR policy has every promised value, and a mask of exactly those", () => {
  const { mask, ...values } = state.tpm_policy;
  expect(values).toEqual(Object.fromEntries(Object.entries(measurements.pcrs.sha256).map(([index, value]) => [index, [value]])));
  expect(mask).toBe("0x1890");
});

test("no value is without its prefix, and what is the site's is left to it", () => {
  expect(state.kernels[0]).toMatchObject({
    systemd_boot_authcode_sha256: `0x${measurements.bootloader.authenticode}`,
    kernel_authcode_sha256: `0x${measurements.uki.authenticode}`,
  });
  expect(state).toMatchObject({ has_secureboot: true, scrtm_and_bios: [], mokdig: [], mokxdig: [] });
  expect(printKeylimeState(state)).toMatch(/^\{.*\}\n$/);
});
