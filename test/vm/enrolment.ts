/** Where an enrolled machine keeps what it is held to. */
export const PROFILE = "/var/lib/secure-ai/tpm-attestation/profile.json";
/** The enrolment program in a machine; its verb and options follow. */
export const ENROL =
  "/usr/bin/node --jitless --no-expose-wasm --disallow-code-generation-from-strings /usr/libexec/secure-ai/secai-enrol.mjs";
