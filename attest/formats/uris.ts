// Names, not addresses: nothing is fetched from them. Ours are explained in docs/predicates/<last part>.md.

/** https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md */
export const STATEMENT_TYPE = "https://in-toto.io/Statement/v1";
export const IN_TOTO_PAYLOAD_TYPE = "application/vnd.in-toto+json";

/** https://slsa.dev/spec/v1.0/provenance */
export const PROVENANCE_PREDICATE = "https://slsa.dev/provenance/v1";
/** The predicate is a whole CycloneDX document: https://cyclonedx.org/specification/overview/ */
export const CYCLONEDX_PREDICATE = "https://cyclonedx.org/bom";
/** https://github.com/in-toto/attestation/blob/main/spec/predicates/test-result.md */
export const TEST_RESULT_PREDICATE = "https://in-toto.io/attestation/test-result/v0.1";
/** https://github.com/in-toto/attestation/blob/main/spec/predicates/release.md */
export const RELEASE_PREDICATE = "https://in-toto.io/attestation/release/v0.1";
/** https://slsa.dev/spec/v1.0/verification_summary */
export const VSA_PREDICATE = "https://slsa.dev/verification_summary/v1";
/** https://github.com/openvex/spec/blob/main/OPENVEX-SPEC.md */
export const OPENVEX_PREDICATE = "https://openvex.dev/ns/v0.2.0";
export const MEASURED_BOOT_PREDICATE = "urn:secai-os:predicate:measured-boot:v1";
export const BASELINE_PREDICATE = "urn:secai-os:predicate:baseline:v1";
export const CHANNEL_PREDICATE = "urn:secai-os:predicate:channel:v1";
export const KEYS_PREDICATE = "urn:secai-os:predicate:keys:v1";
export const REBUILD_PREDICATE = "urn:secai-os:predicate:rebuild:v1";
export const GPU_QUALIFICATION_PREDICATE = "urn:secai-os:predicate:gpu-qualification:v1";

/** How an image is built from a recipe; docs/predicates/image-build.md. */
export const IMAGE_BUILD_TYPE = "urn:secai-os:build-type:image-build:v1";
/** Stable: one id for one way to build, whatever run it was; the run is `metadata.invocationId`. */
export const LOCAL_BUILDER_ID = "urn:secai-os:builder:local:v1";
export const DAGGER_BUILDER_ID = "urn:secai-os:builder:dagger:v1";
