import { writeFileSync } from "node:fs";
import type { Reporter, TestModule } from "vitest/node";

/**
 * Writes a vitest run as a suite result (suites.ts) to the file named by SECAI_TEST_RESULT. vitest's own JSON reporter drops the reason
 * of a skip (`context.skip("reason")`).
 */
export default class SuiteReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly { readonly message: string }[]): void {
    const file = process.env.SECAI_TEST_RESULT;
    if (file !== undefined) writeFileSync(file, JSON.stringify(suiteResultOf(modules, unhandled)));
  }
}

function suiteResultOf(modules: readonly TestModule[], unhandled: readonly { readonly message: string }[]) {
  const tests = modules.flatMap((module) => [...module.children.allTests()]);
  const name = (test: (typeof tests)[number]) => `${test.module.relativeModuleId} > ${test.fullName}`;
  const failed = tests.filter((test) => test.result().state === "failed" || test.result().state === "pending").map(name);
  const broken = modules.flatMap((module) => module.errors().map(({ message }) => `${module.relativeModuleId}: ${message}`));
  return {
    passed: tests.filter((test) => test.result().state === "passed").length,
    failed: [...failed, ...broken, ...unhandled.map(({ message }) => `outside any test: ${message}`)],
    skipped: tests.flatMap((test) => {
      const result = test.result();
      return result.state === "skipped" ? [{ name: name(test), reason: result.note ?? "" }] : [];
    }),
  };
}
