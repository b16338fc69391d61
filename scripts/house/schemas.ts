import { baselineShape } from "@secai/formats/baseline";
import { dsseBundleShape, messageBundleShape } from "@secai/formats/bundle";
import { channelShape } from "@secai/formats/channel";
import { envelopeShape } from "@secai/formats/dsse";
import { extensionsShape } from "@secai/formats/extensions";
import { forensicShape } from "@secai/formats/forensic";
import { backendRecordShape, gpuBackendsShape } from "@secai/formats/gpu-backends";
import { gpuQualificationShape } from "@secai/formats/gpu-qualification";
import { gpuStateShape } from "@secai/formats/gpu-state";
import { kernelModulesShape } from "@secai/formats/kernel-modules";
import { keyManifestShape } from "@secai/formats/key-manifest";
import { manifestShape } from "@secai/formats/manifest";
import { openVexShape } from "@secai/formats/openvex";
import { provenanceShape } from "@secai/formats/provenance";
import { rebuildShape } from "@secai/formats/rebuild";
import { releasePredicateShape } from "@secai/formats/release-statement";
import type { JsonSchema, Shape } from "@secai/formats/shape";
import { statementShape } from "@secai/formats/statement";
import { testResultShape } from "@secai/formats/test-result";
import { vsaShape } from "@secai/formats/vsa";
import { measurementsShape } from "@secai/measure/measurements";
import { waiversShape } from "@secai/pipelines/vex/waivers";
import { diffReportShape } from "@secai/release/diff/report";
import { forensicReportShape } from "@secai/verify/forensic-report";
import { verifyPolicyShape } from "@secai/verify/policy-file";
import { reportShape } from "@secai/verify/report";

/** Every document that leaves or enters this project as JSON, by the name of its schema in docs/schemas/. */
export const documents: Readonly<Record<string, { readonly title: string; readonly shape: Shape<unknown> }>> = {
  "release-manifest": { title: "RELEASE_MANIFEST.json, schema 3", shape: manifestShape },
  statement: { title: "in-toto Statement v1", shape: statementShape },
  "dsse-envelope": { title: "DSSE envelope v1", shape: envelopeShape },
  "bundle-statement": { title: "Sigstore bundle v0.3 of a statement, as this project writes it", shape: dsseBundleShape },
  "bundle-file": { title: "Sigstore bundle v0.3 of a file, as this project writes it", shape: messageBundleShape },
  "predicate-provenance": { title: "SLSA provenance v1 of an image build", shape: provenanceShape },
  "predicate-measured-boot": { title: "measurements.json", shape: measurementsShape },
  "predicate-baseline": { title: "baseline.json", shape: baselineShape },
  "predicate-keys": { title: "keys/keys.json, a key manifest", shape: keyManifestShape },
  "predicate-channel": { title: "channel.json", shape: channelShape },
  "predicate-test-result": { title: "in-toto test-result v0.1 of a suite", shape: testResultShape },
  "predicate-release": { title: "in-toto release v0.1", shape: releasePredicateShape },
  "predicate-vsa": { title: "SLSA verification summary v1", shape: vsaShape },
  "predicate-openvex": { title: "OpenVEX 0.2.0", shape: openVexShape },
  "predicate-rebuild": { title: "A rebuild's verdict", shape: rebuildShape },
  "predicate-gpu-qualification": { title: "A GPU qualification", shape: gpuQualificationShape },
  "gpu-state": { title: "gpu.json, schema 1", shape: gpuStateShape },
  extensions: { title: "extensions.json, schema 1", shape: extensionsShape },
  "verify-report": { title: "What secai verify prints with --json", shape: reportShape },
  "verify-policy": { title: "A policy file of secai verify release", shape: verifyPolicyShape },
  "forensic-bundle": { title: "A forensic bundle of the incident recorder, schema 2", shape: forensicShape },
  "forensic-report": { title: "What secai verify forensic prints with --json", shape: forensicReportShape },
  "release-diff": { title: "What secai release diff prints with --json", shape: diffReportShape },
  "kernel-modules": { title: "modules.json, kernel modules that were compiled for an image", shape: kernelModulesShape },
  "gpu-backends": { title: "gpu-backends.json, schema 1", shape: gpuBackendsShape },
  "gpu-backend": { title: "backend.json of one GPU backend", shape: backendRecordShape },
  waivers: { title: "recipes/waivers/RECIPE.yaml", shape: waiversShape },
};

/** The published form: JSON Schema, draft 2020-12. */
export function publishedSchema(name: string): JsonSchema {
  const document = documents[name];
  if (document === undefined) throw new RangeError(`no document ${name}`);
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    $id: `urn:secai-os:schema:${name}`,
    title: document.title,
    ...document.shape.schema,
  };
}

/** The bytes of docs/schemas/NAME.schema.json. */
export const schemaFile = (name: string): string => `${JSON.stringify(publishedSchema(name), undefined, 1)}\n`;
