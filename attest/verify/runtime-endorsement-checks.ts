import { endorsementFault } from "@secai/measure/endorsement";
import { fail, notPresent, pass, undecided } from "./check.ts";
import { when } from "./found.ts";
import type { RuntimeCheck } from "./runtime-state-check.ts";

const NOT_ASKED = "no TPM maker's certificates were given";

/** The certificate is public: that a machine shows it proves nothing before `keyBoundCheck` has passed. */
export const endorsementCheck: RuntimeCheck = {
  id: "quote.endorsement",
  title: "The machine shows a TPM of a maker that the site trusts",
  asks: "Whether the TPM's own certificate is for the endorsement key shown, is meant for one, is valid now, and leads to a certificate that the site's policy names.",
  codes: [
    ...(["EK_CERTIFICATE_KEY", "EK_CERTIFICATE_PURPOSE", "EK_CERTIFICATE_EXPIRED", "EK_CERTIFICATE_CHAIN"] as const),
    ...(["EK_CERTIFICATE_MISSING", "EK_MISSING"] as const),
  ],
  optional: true,
  run: ({ endorsementKey, endorsementCertificate, at }, { endorsement }) => {
    if (endorsement === undefined) return notPresent(NOT_ASKED);
    return when(endorsementKey, (key) =>
      when(endorsementCertificate, (certificate) => {
        const fault = endorsementFault(certificate, key, endorsement, at);
        return fault === undefined ? pass : fail(fault, "a certificate of a trusted maker for this key", certificate.subject);
      }),
    );
  },
};

/** With a certified endorsement key this is what makes a quote a TPM's word, without anybody having seen the machine before. */
export const keyBoundCheck: RuntimeCheck = {
  id: "quote.ak-bound",
  title: "The attestation key lies in the TPM with that endorsement key",
  asks: "Whether the machine opened a credential, made for this one question, that only a TPM holding both keys can open (TPM2_ActivateCredential). Only --remote can ask.",
  codes: ["AK_ELSEWHERE", "AK_UNPROVED"],
  optional: true,
  run({ activation }, { endorsement, attestationKeys }) {
    if (endorsement === undefined) return notPresent(NOT_ASKED);
    if (activation === "opened") return pass;
    if (activation === "not-opened") return fail("AK_ELSEWHERE", "the credential opened", "not opened");
    if (attestationKeys !== undefined) return notPresent("the key is enrolled instead");
    return undecided("AK_UNPROVED", "the machine was not asked to open a credential");
  },
};
