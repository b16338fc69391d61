import {
  bundleCheck,
  checksumsFormatCheck,
  checksumsSignatureCheck,
  filesDigestCheck,
  manifestFilesCheck,
  manifestShapeCheck,
  releaseKeyCheck,
} from "./checksum-checks.ts";
import { designationCheck, identityCheck, imageDigestCheck, rootHashCheck } from "./identity-checks.ts";
import { closedWorldCheck } from "./layout-checks.ts";
import type { ReleaseCheck } from "./release-evidence.ts";
import { sbomShapeCheck } from "./sbom-checks.ts";
import {
  measurementsFilesCheck,
  measurementsSignatureCheck,
  measurementsSubjectCheck,
  provenanceBuilderCheck,
  provenanceDependenciesCheck,
  provenanceSignatureCheck,
  provenanceStatementCheck,
  provenanceSubjectCheck,
  sbomSignatureCheck,
  sbomSubjectCheck,
} from "./statement-checks.ts";

/** All of them, in the order of the report. Every one is required. */
export const releaseChecks: readonly ReleaseCheck[] = [
  closedWorldCheck,
  releaseKeyCheck,
  checksumsSignatureCheck,
  checksumsFormatCheck,
  filesDigestCheck,
  bundleCheck,
  manifestShapeCheck,
  manifestFilesCheck,
  provenanceSignatureCheck,
  provenanceStatementCheck,
  provenanceSubjectCheck,
  provenanceBuilderCheck,
  provenanceDependenciesCheck,
  measurementsSignatureCheck,
  measurementsSubjectCheck,
  measurementsFilesCheck,
  sbomSignatureCheck,
  sbomSubjectCheck,
  sbomShapeCheck,
  imageDigestCheck,
  rootHashCheck,
  designationCheck,
  identityCheck,
];
