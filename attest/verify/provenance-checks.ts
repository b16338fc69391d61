import { PROVENANCE_FILE, type Role, roleOf } from "@secai/formats/release-layout";
import { fail, notPresent, pass, undecided } from "./check.ts";
import { given, payloadIn, type ReleaseCheck, when } from "./release-evidence.ts";
import { rulesOf } from "./release-policy.ts";
import { subjectResults } from "./statement-checks.ts";

export const provenanceStatementCheck: ReleaseCheck = {
  id: "provenance.statement",
  title: "The signed provenance is the one in the release, in a shape we know",
  asks: "Whether the provenance is SLSA v1 of our build type, and byte for byte what was signed.",
  codes: ["STATEMENT_DIFFERS", "FILE_MISSING", "EVIDENCE_UNUSABLE"],
  run: (evidence) =>
    when(evidence.provenance, () =>
      given(payloadIn(evidence, PROVENANCE_FILE), "the signed provenance", (payload) => {
        const file = evidence.inventory.files.get(PROVENANCE_FILE)?.bytes;
        return file !== undefined && payload.equals(file) ? pass : fail("STATEMENT_DIFFERS", "the signed bytes", "other bytes");
      }),
    ),
};

/** What every build makes. Media may be made later of the same image; each names its digest (medium.digest, oci.image). */
const BUILT: ReadonlySet<Role> = new Set<Role>([
  "disk",
  "disk-qcow2",
  "uki",
  "boot-loader",
  "root-hash",
  "measurements",
  "service",
  "image-sbom",
  "service-sbom",
  "extension-sbom",
]);

export const provenanceSubjectCheck: ReleaseCheck = {
  id: "provenance.subject",
  title: "The provenance speaks of every built file, by its digest, and of no file that is not here",
  asks: "Whether each subject of the provenance is a file of this release with that digest, and each file that a build makes is a subject.",
  codes: ["SUBJECT_MISSING", "SUBJECT_UNKNOWN", "SUBJECT_MISMATCH", "EVIDENCE_UNUSABLE"],
  run(evidence) {
    if (evidence.provenanceStatement.state !== "found") return undecided("EVIDENCE_UNUSABLE", "the provenance cannot be used");
    const built = [...evidence.inventory.files.keys()].filter((name) => BUILT.has(roleOf(name)));
    return subjectResults(evidence, evidence.provenanceStatement.value, built);
  },
};

export const provenanceBuilderCheck: ReleaseCheck = {
  id: "provenance.builder",
  title: "A trusted builder made it",
  asks: "Whether the builder's id is one your policy names (--builder), compared whole, and the one the manifest names.",
  codes: ["BUILDER_UNTRUSTED", "EVIDENCE_UNUSABLE"],
  run: ({ provenance, manifest }, { builders }) =>
    given(provenance, "the provenance", ({ runDetails: { builder } }) => {
      if (!builders.includes(builder.id)) return fail("BUILDER_UNTRUSTED", builders.join(" or "), builder.id);
      return given(manifest, "the manifest", ({ build }) =>
        build.builder_id === builder.id ? pass : fail("BUILDER_UNTRUSTED", build.builder_id, builder.id),
      );
    }),
};

/** The dependency under which a build names the repository and commit of its sources. */
const REPOSITORY = "repository";

export const provenanceSourceCheck: ReleaseCheck = {
  id: "provenance.source",
  title: "It was built from the sources the policy expects",
  asks: "Whether recipe, commit and repository of the provenance are those of your policy's `sources`, and the commit is the one the manifest names. What the policy leaves out is not asked.",
  codes: ["SOURCE_UNTRUSTED", "EVIDENCE_UNUSABLE"],
  run: ({ provenance, manifest }, policy) =>
    given(provenance, "the provenance", ({ buildDefinition: { externalParameters, resolvedDependencies } }) =>
      given(manifest, "the manifest", ({ build }) => {
        const { recipe, commits, repository } = rulesOf(policy).sources;
        const source = resolvedDependencies.find(({ name }) => name === REPOSITORY);
        const commit = source?.digest.gitCommit;
        const built = externalParameters.recipe.name;
        if (recipe !== undefined && recipe !== built) return fail("SOURCE_UNTRUSTED", recipe, built);
        if (build.commit_sha !== undefined && build.commit_sha !== commit)
          return fail("SOURCE_UNTRUSTED", `commit ${build.commit_sha}`, commit ?? "no commit");
        if (commits !== undefined && (commit === undefined || !commits.includes(commit)))
          return fail("SOURCE_UNTRUSTED", commits.join(" or "), commit ?? "no commit");
        if (repository !== undefined && repository !== source?.uri)
          return fail("SOURCE_UNTRUSTED", repository, source?.uri ?? "no repository");
        return pass;
      }),
    ),
};

export const provenanceWorkflowCheck: ReleaseCheck = {
  id: "provenance.workflow",
  title: "The workflow the policy expects built it",
  asks: "Whether the builder's version map names, under `workflow`, the workflow your policy expects. Not asked unless the policy names one.",
  codes: ["WORKFLOW_UNTRUSTED", "EVIDENCE_UNUSABLE"],
  optional: true,
  run({ provenance }, policy) {
    const { workflow } = rulesOf(policy);
    if (workflow === undefined) return notPresent("the policy names no workflow");
    return given(provenance, "the provenance", ({ runDetails: { builder } }) => {
      const actual = builder.version.workflow;
      return actual === workflow ? pass : fail("WORKFLOW_UNTRUSTED", workflow, actual ?? "no workflow");
    });
  },
};

export const provenanceDependenciesCheck: ReleaseCheck = {
  id: "provenance.dependencies",
  title: "The provenance names recipe, lock and every package of the image by digest, and no output among them",
  asks: "Whether recipe, lock and each Debian package that the image's SBOM lists are among the resolved dependencies with the same digest, and nothing that the build made is.",
  codes: ["DEPENDENCY_MISSING", "DEPENDENCY_IS_OUTPUT", "EVIDENCE_UNUSABLE"],
  run: ({ provenance, provenanceStatement, imageSbom }) =>
    given(provenance, "the provenance", ({ buildDefinition: { externalParameters, resolvedDependencies } }) => {
      const known = new Set(resolvedDependencies.map(({ digest }) => digest.sha256));
      const { recipe, lock } = externalParameters;
      const unnamed = [recipe, lock].find(({ sha256 }) => !known.has(sha256));
      if (unnamed !== undefined) return fail("DEPENDENCY_MISSING", unnamed.path, "not among the dependencies");
      if (resolvedDependencies.length < 3) return fail("DEPENDENCY_MISSING", "inputs besides recipe and lock", "none");
      const outputs = provenanceStatement.state === "found" ? provenanceStatement.value.subject : [];
      const output = outputs.find(({ digest }) => known.has(digest.sha256));
      if (output !== undefined) return fail("DEPENDENCY_IS_OUTPUT", "inputs only", output.name);
      return given(imageSbom, "the image's SBOM", ({ packages }) => {
        const strange = packages.find(({ sha256 }) => sha256 === undefined || !known.has(sha256));
        if (strange === undefined) return pass;
        const { name, version, architecture } = strange;
        return fail("DEPENDENCY_MISSING", `${name} ${version} ${architecture}`, "not among the dependencies by its digest");
      });
    }),
};
