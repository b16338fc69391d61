import { parseArgs } from "node:util";
import { canonicalJson } from "@secai/formats/canonical-json";
import { designations } from "@secai/formats/designation";
import type { CommandIo } from "./command.ts";
import { VerifyError } from "./errors.ts";
import { verifyPolicyShape } from "./policy-file.ts";
import { loadPolicyFile, policyFrom, trustOptions } from "./policy-options.ts";
import { exitStatusOf, reportShape } from "./report.ts";
import { output, outputOptions, requireForms, writeOut } from "./report-output.ts";
import { verifyReleaseEvidence } from "./verify-release.ts";

export { policyFrom } from "./policy-options.ts";
export { print } from "./report-output.ts";

export const RELEASE_HELP = `secai verify release DIR: check every byte of a release directory, without a network.

Whom to trust (from outside the release; never read from it):
  --key FILE            a public key of the root role, as its owner handed it out; may be repeated
  --fingerprint HEX     the SHA-256 of such a key; may be repeated
  --key-manifest FILE   a keys.json obtained elsewhere: its whole root role, with its threshold
                        without any: release.pub of this user's own keys, which accepts what this user built
What to expect:
  --policy FILE         what your organisation expects, as JSON (--schema policy); options below take its place
  --designation NAME    ${designations.join(", ")}; may be repeated. Without it: candidate and stable, and dev only under
                        this user's own keys
  --release VERSION     refuse any other version, however well signed
  --builder URI         instead of the builders this program knows; may be repeated
  --without FILE        a medium that was not fetched (disk.raw.zst, disk.qcow2, disk.ova, installer.iso, oci): reported
                        as not present instead of missing; may be repeated
  --at TIME             judge validity and expiry as of then (2026-01-31T09:30:00Z), e.g. of an archive; the report says so
Output:
  --json                the report alone, on standard output (--schema report)
  --verbose             a line for every file
  --report FILE         also as a file: .txt, .md, .html or .json; may be repeated
  --vsa FILE            the verdict as the predicate of a SLSA verification summary
  --explain ID          what a check asks, the codes it can give, what to do; "list" names all checks
  --schema NAME         the JSON Schema of report or policy
  --help

Examples:
  secai verify release out/debian-13/0.1.0
  secai verify release ./secai-1.2.0 --fingerprint 5f1c...e2 --release 1.2.0
  secai verify release ./secai-1.2.0 --policy ours.json --report verdict.html --vsa verdict.json
  secai verify release ./secai-1.2.0 --key root.pub --without disk.qcow2 --json
  secai verify release --explain sbom.packages
`;

const options = {
  ...trustOptions,
  ...outputOptions,
  designation: { type: "string", multiple: true },
  release: { type: "string" },
  builder: { type: "string", multiple: true },
  without: { type: "string", multiple: true },
  vsa: { type: "string" },
  explain: { type: "string" },
  schema: { type: "string" },
} as const;

/** @throws VerifyError and FormatError for a question that cannot be asked; the answer is the exit status */
export async function runVerifyRelease(args: readonly string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parse(args);
  const text = await helpFor(values);
  if (text !== undefined) {
    io.stdout(text);
    return 0;
  }
  const [dir, ...more] = positionals;
  if (dir === undefined || more.length > 0)
    throw new VerifyError("VERIFY_USAGE", { expected: "one release directory", actual: `${positionals.length}` });
  requireForms(values.report ?? []);
  const file = await loadPolicyFile(values.policy);
  const policy = await policyFrom(values, io, file);
  const { report, evidence } = await verifyReleaseEvidence(dir, policy);
  if (values.vsa !== undefined) {
    const { summaryOf } = await import("./verification-summary.ts");
    await writeOut(values.vsa, `${canonicalJson(summaryOf(report, evidence, policy))}\n`);
  }
  await output(report, values, io);
  return exitStatusOf(report);
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
  } catch (cause) {
    throw new VerifyError("VERIFY_USAGE", { expected: "known options", actual: (cause as Error).message, cause });
  }
}
type Values = ReturnType<typeof parse>["values"];

const schemas = { report: reportShape.schema, policy: verifyPolicyShape.schema } as const;

/** What is said instead of verifying, if anything. @throws VerifyError CHECK_UNKNOWN, VERIFY_USAGE */
async function helpFor({ help, explain, schema }: Values): Promise<string | undefined> {
  if (help) return RELEASE_HELP;
  if (explain !== undefined) return (await import("./explain-command.ts")).explained(explain);
  if (schema === undefined) return undefined;
  if (schema !== "report" && schema !== "policy")
    throw new VerifyError("VERIFY_USAGE", { expected: "--schema report or policy", actual: schema });
  const head = { $schema: "https://json-schema.org/draft/2020-12/schema" };
  return `${JSON.stringify({ ...head, ...schemas[schema] }, undefined, 2)}\n`;
}
