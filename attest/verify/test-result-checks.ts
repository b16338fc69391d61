import type { TestResult } from "@secai/formats/test-result";
import { about, fail, notPresent, pass, type SubjectResult } from "./check.ts";
import { given, type ReleaseCheck, when } from "./release-evidence.ts";
import { requiredTestsOf } from "./release-policy.ts";

const NONE = "this release carries no test results";
const suiteOf = ({ configuration }: TestResult) => configuration[0]?.annotations;

export const testsShapeCheck: ReleaseCheck = {
  id: "tests.shape",
  title: "Every test result parses, agrees with itself and lies under its suite's name",
  asks: "Whether tests/SUITE.json is an in-toto test result v0.1 of that suite, with no test twice and a verdict that follows from its lists.",
  codes: ["SUITE_MISMATCH"],
  optional: true,
  run({ tests }) {
    if (tests.size === 0) return notPresent(NONE);
    return [...tests].map(([name, test]) => {
      const expected = name.slice("tests/".length, -".json".length);
      const result = when(test, (found) => {
        const actual = suiteOf(found)?.suite;
        return actual === expected ? pass : fail("SUITE_MISMATCH", expected, actual ?? "no suite");
      });
      return about(name, result);
    });
  },
};

export const testsImageCheck: ReleaseCheck = {
  id: "tests.image",
  title: "Every test ran over this very image",
  asks: "Whether each test result names the digest that IMAGE_DIGEST and the manifest name.",
  codes: ["TEST_OF_OTHER_IMAGE", "EVIDENCE_UNUSABLE"],
  optional: true,
  run({ tests, manifest }) {
    if (tests.size === 0) return notPresent(NONE);
    return [...tests].map(([name, test]) =>
      about(
        name,
        given(test, name, (found) =>
          given(manifest, "the manifest", ({ image }) => {
            const actual = suiteOf(found)?.imageDigest;
            return actual === image.digest ? pass : fail("TEST_OF_OTHER_IMAGE", image.digest, actual ?? "no digest");
          }),
        ),
      ),
    );
  },
};

export const testsResultCheck: ReleaseCheck = {
  id: "tests.result",
  title: "No test of this image failed that a release of its kind must pass",
  asks: "Whether each suite that your policy requires has the verdict PASSED, and no suite of a stable release has FAILED. A dev or candidate release may carry failures honestly; the report then warns.",
  codes: ["TEST_FAILED", "EVIDENCE_UNUSABLE"],
  optional: true,
  run({ tests, manifest }, policy) {
    if (tests.size === 0) return notPresent(NONE);
    return [...tests].map(([name, test]) =>
      about(
        name,
        given(test, name, (found) =>
          given(manifest, "the manifest", ({ designation }) => {
            const suite = suiteOf(found)?.suite;
            const strict = requiredTestsOf(policy, designation).some((one) => one.suite === suite);
            const allowed = strict
              ? ["PASSED"]
              : designation === "stable"
                ? ["PASSED", "WARNED"]
                : ["PASSED", "WARNED", "FAILED"];
            if (allowed.includes(found.result)) return pass;
            const wrong = [...found.failedTests, ...found.warnedTests];
            return fail("TEST_FAILED", allowed.join(" or "), `${found.result}: ${wrong.slice(0, 3).join(", ")}`);
          }),
        ),
      ),
    );
  },
};

export const testsRequiredCheck: ReleaseCheck = {
  id: "tests.required",
  title: "Every suite that the policy requires was run, as it requires",
  asks: "Whether each of your policy's `requiredTests` has a result, under an accelerator it accepts. Without a policy a stable release needs acceptance and adversarial, any other none.",
  codes: ["TEST_MISSING", "ACCELERATOR_REFUSED", "EVIDENCE_UNUSABLE"],
  optional: true,
  run: ({ tests, manifest }, policy) => {
    if (manifest.state !== "found") return given(manifest, "the manifest", () => pass);
    const required = requiredTestsOf(policy, manifest.value.designation);
    if (required.length === 0) return notPresent("no suite is required of such a release");
    const runs = [...tests.values()].flatMap((test) => (test.state === "found" ? [suiteOf(test.value)] : []));
    return required.map(({ suite, accelerators }): SubjectResult => {
      const run = runs.find((one) => one?.suite === suite);
      if (run === undefined) return about(suite, fail("TEST_MISSING", `a result of ${suite}`, "none"));
      if (accelerators === undefined || accelerators.includes(run.accelerator)) return about(suite, pass);
      return about(suite, fail("ACCELERATOR_REFUSED", accelerators.join(" or "), run.accelerator));
    });
  },
};
