import { type Sha256, sha256 } from "@secai/formats/digest";
import { parseAddon } from "./addon.ts";
import { authenticodeOf } from "./authenticode.ts";
import { MeasureError } from "./errors.ts";
import { initrdPcr } from "./initrd.ts";
import { replayPcr } from "./pcr.ts";
import { parsePe } from "./pe.ts";
import { certificateDer, placeholderDbx, secureBootPcr } from "./secure-boot.ts";
import { type PhaseValues, parseUki, phaseValues, READY_PATH } from "./uki.ts";

export interface PredictInputs {
  /** Signed systemd-boot, as it lies in the ESP. */
  readonly bootloader: Uint8Array;
  /** Signed unified kernel image, as it lies in the ESP. */
  readonly uki: Uint8Array;
  /** Owner of every enrolled certificate. */
  readonly ownerGuid: string;
  /** Certificates, PEM or DER. The first of `db` has signed boot loader and UKI. */
  readonly PK: Uint8Array;
  readonly KEK: Uint8Array;
  readonly db: readonly Uint8Array[];
  /** Content of the dbx variable; the placeholder that virt-fw-vars writes when left out. */
  readonly dbx?: Uint8Array;
  /** A UKI addon in the ESP and the certificate of `db` that signed it: in machines under test only. */
  readonly addon?: { readonly bytes: Uint8Array; readonly signer: Uint8Array };
}

export interface Prediction {
  /** SHA-256 bank of a machine that has come up completely. */
  readonly pcrs: Readonly<Record<"4" | "7" | "9" | "11" | "12", Sha256>>;
  readonly pcr11Phases: PhaseValues;
  readonly bootloaderAuthenticode: Sha256;
  readonly ukiAuthenticode: Sha256;
  readonly commandLine: string;
  /** Digest of the initrd as the kernel gets it. */
  readonly initrd: Sha256;
}

/** PCR 4: firmware's boot attempt, the separator, then every EFI program it was asked to load, in order (TCG PFP 3.3.4.5). */
export function bootPcr(programs: readonly Sha256[]): Sha256 {
  return replayPcr([sha256("Calling EFI Application from Boot Option"), sha256(Buffer.alloc(4)), ...programs]);
}

function firmwarePcr(inputs: PredictInputs): Sha256 {
  const db = inputs.db.map(certificateDer);
  const [signer] = db;
  if (signer === undefined) throw new MeasureError("CERTIFICATE_MALFORMED", { expected: "a certificate in db", actual: "none" });
  const addonSigner = inputs.addon === undefined ? signer : certificateDer(inputs.addon.signer);
  return secureBootPcr({
    ownerGuid: inputs.ownerGuid,
    PK: certificateDer(inputs.PK),
    KEK: certificateDer(inputs.KEK),
    db,
    dbx: inputs.dbx ?? placeholderDbx(),
    authorities: addonSigner.equals(signer) ? [signer] : [signer, addonSigner],
  });
}

/**
 * What the TPM of a machine that boots exactly these bytes with exactly these keys must show. The kernel inside the UKI is not in PCR 4:
 * systemd-stub starts it without asking firmware to load it. PCR 9 is what that kernel measures about itself.
 * @throws MeasureError PE_MALFORMED, UKI_UNSUPPORTED, ADDON_UNSUPPORTED, CERTIFICATE_MALFORMED, GUID_MALFORMED
 */
export function predictPcrs(inputs: PredictInputs): Prediction {
  const uki = parseUki(inputs.uki);
  const bootloaderAuthenticode = authenticodeOf(parsePe(inputs.bootloader));
  const ukiAuthenticode = authenticodeOf(uki.file);
  const addon = inputs.addon === undefined ? undefined : parseAddon(inputs.addon.bytes);
  const pcr11Phases = phaseValues(uki);
  const kernelLine = addon === undefined ? uki.commandLine : `${uki.commandLine} ${addon.commandLine}`;
  return {
    pcrs: {
      "4": bootPcr([bootloaderAuthenticode, ukiAuthenticode, ...(addon === undefined ? [] : [addon.authenticode])]),
      "7": firmwarePcr(inputs),
      "9": initrdPcr(kernelLine, uki.initrdDigest),
      "11": pcr11Phases[READY_PATH] as Sha256,
      "12": replayPcr(addon === undefined ? [] : [addon.commandLineDigest]),
    },
    pcr11Phases,
    bootloaderAuthenticode,
    ukiAuthenticode,
    commandLine: uki.commandLine,
    initrd: uki.initrdDigest,
  };
}
