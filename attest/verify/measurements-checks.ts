import { sha256 } from "@secai/formats/digest";
import { BOOT_LOADER_FILE, KEYLIME_FILE, UKI_FILE } from "@secai/formats/release-layout";
import { buildKeylimeState, printKeylimeState } from "@secai/measure/keylime";
import { certificateDer } from "@secai/measure/secure-boot";
import { about, fail, notPresent, pass, type SubjectResult, undecided } from "./check.ts";
import { derive, type Found, given, type ReleaseCheck, type ReleaseEvidence, when } from "./release-evidence.ts";
import { CERTIFICATES, promisedValues } from "./reprediction.ts";

export const measurementsFilesCheck: ReleaseCheck = {
  id: "measurements.files",
  title: "The measurements are well formed and were made of these very boot files",
  asks: "Whether measurements.json names the digests of the kernel image and the boot loader that lie beside it.",
  codes: ["SUBJECT_MISMATCH", "FILE_MISSING"],
  run: ({ measurements, inventory }) =>
    when(measurements, ({ uki, bootloader }) => {
      const wrong = [
        { name: UKI_FILE, expected: uki.sha256 },
        { name: BOOT_LOADER_FILE, expected: bootloader.sha256 },
      ].find(({ name, expected }) => inventory.files.get(name)?.sha256 !== expected);
      if (wrong === undefined) return pass;
      return fail("SUBJECT_MISMATCH", wrong.expected, `${wrong.name}: ${inventory.files.get(wrong.name)?.sha256 ?? "missing"}`);
    }),
};

export const measurementsCertificatesCheck: ReleaseCheck = {
  id: "measurements.certificates",
  title: "The Secure Boot certificates are those the measurements name",
  asks: "Whether keys/PK.crt, keys/KEK.crt and keys/db.crt are the certificates (as DER) that measurements.json expects in firmware.",
  codes: ["CERTIFICATE_MISMATCH", "EVIDENCE_UNUSABLE", "FILE_MISSING"],
  run: (evidence) => {
    const { measurements } = evidence;
    if (measurements.state !== "found") return undecided("EVIDENCE_UNUSABLE", "the measurements cannot be used");
    const { PK, KEK, db } = measurements.value.secureBoot;
    const expected = { PK: [PK], KEK: [KEK], db };
    return CERTIFICATES.map((name): SubjectResult => {
      const file = `keys/${name}.crt`;
      const found = derive(bytesOf(evidence, file), (bytes) => sha256(certificateDer(bytes)));
      const compared = when(found, (actual) =>
        expected[name].includes(actual) ? pass : fail("CERTIFICATE_MISMATCH", expected[name].join(" or "), actual),
      );
      return about(file, compared);
    });
  },
};

/** The same prediction, made here of the files that ship: nobody's word is taken for what a machine must show. */
export const repredictionCheck: ReleaseCheck = {
  id: "measurements.repredicted",
  title: "The promised PCR values are those that these boot files and keys give",
  asks: "Whether every promised PCR (4, 7, 9, 11 and 12), each phase of PCR 11, both Authenticode digests and the command line come out the same when they are predicted again from uki.efi, bootx64.efi and keys/*.crt.",
  codes: ["PREDICTION_MISMATCH", "FILE_MISSING", "EVIDENCE_UNUSABLE"],
  run: (evidence) =>
    given(evidence.measurements, "the measurements", (measured) => {
      // With several certificates in db the release carries only the one that signs; then PCR 7 is the certificates check's to compare.
      if (measured.secureBoot.db.length > 1) return notPresent("firmware trusts certificates that the release does not carry");
      return when(evidence.predicted, (actual) => {
        const promised = promisedValues(measured);
        // What the release does not promise (early ones say nothing of PCR 9) is nobody's to hold it to.
        const wrong = Object.keys(promised).find((name) => actual[name] !== promised[name]);
        if (wrong === undefined) return pass;
        return fail("PREDICTION_MISMATCH", `${wrong}: ${promised[wrong] ?? "no value"}`, actual[wrong] ?? "no value");
      });
    }),
};

/** Not signed on its own: it must say what the signed measurements say, in the one spelling that our builder gives it. */
export const keylimeCheck: ReleaseCheck = {
  id: "keylime.agreement",
  title: "The Keylime reference state promises what the measurements promise",
  asks: "Whether keylime/measured-boot.json is, byte for byte, what follows from measurements.json and keys/*.crt.",
  codes: ["KEYLIME_DIFFERS", "EVIDENCE_UNUSABLE"],
  optional: true,
  run: (evidence) => {
    const state = bytesOf(evidence, KEYLIME_FILE);
    if (state.state === "absent") return notPresent("this release has no Keylime reference state");
    return given(evidence.measurements, "the measurements", (measured) => {
      const [PK, KEK, db] = CERTIFICATES.map((name) => bytesOf(evidence, `keys/${name}.crt`));
      if (PK?.state !== "found" || KEK?.state !== "found" || db?.state !== "found")
        return undecided("EVIDENCE_UNUSABLE", "a Secure Boot certificate is missing");
      const certificates = { PK: PK.value, KEK: KEK.value, db: [db.value] };
      const expected = derive({ state: "found", value: measured }, (from) =>
        printKeylimeState(buildKeylimeState(from, certificates)),
      );
      return given(expected, "the certificates", (text) =>
        when(state, (bytes) =>
          Buffer.from(text).equals(bytes)
            ? pass
            : fail("KEYLIME_DIFFERS", "what follows from the measurements", "another reference state"),
        ),
      );
    });
  },
};

/** The bytes of a file that the inventory keeps, or that they are not there. */
export function bytesOf({ inventory }: ReleaseEvidence, name: string): Found<Buffer> {
  const bytes = inventory.files.get(name)?.bytes;
  return bytes === undefined ? { state: "absent", code: "FILE_MISSING", detail: name } : { state: "found", value: bytes };
}
