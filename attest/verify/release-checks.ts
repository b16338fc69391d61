import { baselineConsistencyCheck, baselinePortsCheck, baselineRootHashCheck, baselineShapeCheck } from "./baseline-checks.ts";
import {
  channelFreshnessCheck,
  channelKeysCheck,
  channelReleaseCheck,
  channelRollbackCheck,
  channelShapeCheck,
} from "./channel-checks.ts";
import {
  bundleCheck,
  checksumsFormatCheck,
  checksumsSignatureCheck,
  filesDigestCheck,
  manifestFilesCheck,
  manifestShapeCheck,
} from "./checksum-checks.ts";
import { designationCheck, identityCheck, imageDigestCheck, rootHashCheck } from "./identity-checks.ts";
import { ociImageCheck, ociLayoutCheck, ociSignaturesCheck } from "./image-layout-checks.ts";
import {
  bundleSignerCheck,
  keysChainCheck,
  keysRevocationCheck,
  keysThresholdCheck,
  releaseKeyCheck,
  statementsRequiredCheck,
} from "./key-checks.ts";
import { closedWorldCheck } from "./layout-checks.ts";
import { keylimeCheck, measurementsCertificatesCheck, measurementsFilesCheck, repredictionCheck } from "./measurements-checks.ts";
import { mediumDigestCheck } from "./medium-checks.ts";
import {
  provenanceBuilderCheck,
  provenanceDependenciesCheck,
  provenanceSourceCheck,
  provenanceStatementCheck,
  provenanceSubjectCheck,
  provenanceWorkflowCheck,
} from "./provenance-checks.ts";
import type { ReleaseCheck } from "./release-evidence.ts";
import { sbomPackagesCheck, sbomServiceCheck, sbomShapeCheck, sbomXmlCheck } from "./sbom-checks.ts";
import { provenanceSignatureCheck, statementChecks } from "./statement-checks.ts";
import { testsImageCheck, testsRequiredCheck, testsResultCheck, testsShapeCheck } from "./test-result-checks.ts";
import { vexAgreementCheck, vexExpiryCheck, vexProductCheck, vexShapeCheck } from "./vex-checks.ts";

/** All of them, in the order of the report; which of them must have passed is `requiredOf`'s to say. */
export const releaseChecks: readonly ReleaseCheck[] = [
  closedWorldCheck,
  statementsRequiredCheck,
  keysChainCheck,
  keysThresholdCheck,
  keysRevocationCheck,
  releaseKeyCheck,
  checksumsSignatureCheck,
  checksumsFormatCheck,
  filesDigestCheck,
  bundleCheck,
  bundleSignerCheck,
  manifestShapeCheck,
  manifestFilesCheck,
  ...statementChecks.manifest,
  provenanceSignatureCheck,
  provenanceStatementCheck,
  provenanceSubjectCheck,
  provenanceBuilderCheck,
  provenanceSourceCheck,
  provenanceWorkflowCheck,
  provenanceDependenciesCheck,
  ...statementChecks.measurements,
  measurementsFilesCheck,
  measurementsCertificatesCheck,
  repredictionCheck,
  keylimeCheck,
  ...statementChecks.sbom,
  sbomShapeCheck,
  sbomServiceCheck,
  sbomPackagesCheck,
  sbomXmlCheck,
  ...statementChecks.baseline,
  baselineShapeCheck,
  baselineRootHashCheck,
  baselineConsistencyCheck,
  baselinePortsCheck,
  ...statementChecks.vex,
  vexShapeCheck,
  vexProductCheck,
  vexExpiryCheck,
  vexAgreementCheck,
  ...statementChecks.tests,
  testsShapeCheck,
  testsImageCheck,
  testsResultCheck,
  testsRequiredCheck,
  ...statementChecks.channel,
  channelShapeCheck,
  channelReleaseCheck,
  channelKeysCheck,
  channelFreshnessCheck,
  channelRollbackCheck,
  ociLayoutCheck,
  ociImageCheck,
  ociSignaturesCheck,
  mediumDigestCheck,
  imageDigestCheck,
  rootHashCheck,
  designationCheck,
  identityCheck,
];
