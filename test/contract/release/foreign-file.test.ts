import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { sha256 } from "@secai/formats/digest";
import { buildStatement, subjectOf } from "@secai/formats/statement";
import { keylessSigner } from "@secai/sign/keyless";
import { parseSigningConfig } from "@secai/sign/signing-config";
import { runVerify } from "@secai/verify/command";
import { verifyKeylessBlob, verifyKeylessStatement } from "@secai/verify/keyless";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ToolFolder } from "../measure/tool-root.ts";
import { type PrivateSigstore, signingConfigOf, startPrivateSigstore, tokenOf } from "../sign/private-sigstore.ts";

// Bundles that other tools made: keyless ones from a Sigstore of our own, and cosign's with a key of its own.

const ISSUER = "https://issuer.example";
const NAME = "https://ci.example/owner/repository/.ci/release.yaml@refs/tags/v1";
const folder = new ToolFolder();
const at = (name: string) => join(folder.path, name);
const DATA = Buffer.from("a file of somebody else\n");
let sigstore: PrivateSigstore;

beforeAll(async () => {
  sigstore = await startPrivateSigstore();
  const trusted = {
    trustedRoot: Buffer.from(JSON.stringify(sigstore.trustedRoot)),
    identity: { subjectAlternativeName: NAME, issuer: ISSUER },
  };
  const signer = keylessSigner({
    services: parseSigningConfig(signingConfigOf(sigstore.url), new Date()),
    token: async () => tokenOf({ iss: ISSUER, sub: NAME, job_workflow_ref: "x", event_name: "push" }),
    judge: {
      statement: (bundle) => verifyKeylessStatement(bundle, trusted, [sha256(DATA)]),
      blob: (bundle, data) => verifyKeylessBlob(bundle, data, trusted),
    },
  });
  writeFileSync(at("file"), DATA);
  writeFileSync(at("other"), "another file\n");
  writeFileSync(at("root.json"), JSON.stringify(sigstore.trustedRoot));
  writeFileSync(at("empty-root.json"), JSON.stringify({ ...sigstore.trustedRoot, certificateAuthorities: [] }));
  writeFileSync(at("blob.json"), await signer.signBlob(DATA));
  writeFileSync(
    at("statement.json"),
    await signer.signStatement(buildStatement("urn:test", [subjectOf("file", sha256(DATA))], {})),
  );
  folder.run(`export COSIGN_PASSWORD= COSIGN_YES=true
    echo '{}' > predicate
    cosign generate-key-pair
    cosign sign-blob --key cosign.key --tlog-upload=false --new-bundle-format --bundle cosign-blob.json file
    cosign attest-blob --key cosign.key --tlog-upload=false --new-bundle-format --bundle cosign-statement.json --type custom --predicate predicate file`);
});
afterAll(async () => {
  folder.remove();
  await sigstore.close();
});

async function run(...args: string[]) {
  const said: string[] = [];
  const io = { stdout: (text: string) => said.push(text), stderr: () => {}, env: { SECAI_KEYS: at("no-keys") } };
  const exit = await runVerify(["file", ...args.map((arg) => arg.replace(/^@/, folder.path)), "--json"], io);
  const checks =
    said.length === 0 ? [] : (JSON.parse(said.join("")).checks as readonly { id: string; status: string; code?: string }[]);
  const open = checks.filter(({ status }) => status === "fail" || status === "undecided");
  return { exit, first: open[0] === undefined ? "" : `${open[0].id} ${open[0].code}` };
}

const WHO = ["--trusted-root", "@/root.json", "--identity", NAME, "--issuer", ISSUER];
const KEY = ["--key", "@/cosign.pub"];
const cases: readonly {
  readonly name: string;
  readonly args: readonly string[];
  readonly exit: number;
  readonly first?: string;
}[] = [
  { name: "a keyless signature", args: ["@/file", "--bundle", "@/blob.json", ...WHO], exit: 0 },
  { name: "a keyless statement", args: ["@/file", "--bundle", "@/statement.json", ...WHO], exit: 0 },
  {
    name: "a keyless statement as subject",
    args: ["@/file", "--subject-of", "@/statement.json", ...WHO, "--type", "urn:test"],
    exit: 0,
  },
  {
    name: "a keyless signature of another file",
    args: ["@/other", "--bundle", "@/blob.json", ...WHO],
    exit: 1,
    first: "file.signature KEYLESS_EVIDENCE_INVALID",
  },
  {
    name: "a keyless statement about another file",
    args: ["@/other", "--bundle", "@/statement.json", ...WHO],
    exit: 1,
    first: "file.subject SUBJECT_MISMATCH",
  },
  {
    name: "another identity",
    args: ["@/file", "--bundle", "@/blob.json", ...WHO.slice(0, 2), "--identity", `${NAME}0`, "--issuer", ISSUER],
    exit: 1,
    first: "file.signature KEYLESS_IDENTITY_WRONG",
  },
  {
    name: "another issuer",
    args: ["@/file", "--bundle", "@/blob.json", ...WHO.slice(0, 4), "--issuer", `${ISSUER}/`],
    exit: 1,
    first: "file.signature KEYLESS_IDENTITY_WRONG",
  },
  {
    name: "a key's signature where an identity is expected",
    args: ["@/file", "--bundle", "@/cosign-blob.json", ...WHO],
    exit: 3,
    first: "file.signature KEY_UNAVAILABLE",
  },
  {
    name: "a keyless signature where a key is expected",
    args: ["@/file", "--bundle", "@/blob.json", ...KEY],
    exit: 3,
    first: "file.signature KEY_UNAVAILABLE",
  },
  {
    name: "two keyless bundles",
    args: ["@/file", "--bundle", "@/blob.json", "--bundle", "@/blob.json", ...WHO],
    exit: 1,
    first: "file.signature SIGNATURE_UNCOUNTED",
  },
  {
    name: "a trusted root without authorities",
    args: ["@/file", "--bundle", "@/blob.json", "--trusted-root", "@/empty-root.json", ...WHO.slice(2)],
    exit: 2,
  },
  { name: "cosign's signature", args: ["@/file", "--bundle", "@/cosign-blob.json", ...KEY], exit: 0 },
  { name: "cosign's statement", args: ["@/file", "--subject-of", "@/cosign-statement.json", ...KEY], exit: 0 },
  {
    name: "cosign's signature of another file",
    args: ["@/other", "--bundle", "@/cosign-blob.json", ...KEY],
    exit: 1,
    first: "file.signature SIGNATURE_INVALID",
  },
  {
    name: "cosign's statement about another file",
    args: ["@/other", "--subject-of", "@/cosign-statement.json", ...KEY],
    exit: 1,
    first: "file.subject SUBJECT_MISMATCH",
  },
];
for (const { name, args, exit, first = "" } of cases) {
  test(`${name}: exit ${exit}`, async () => expect(await run(...args)).toEqual({ exit, first }));
}

test("cosign refuses what we refuse", () => {
  const verify =
    "cosign verify-blob --key cosign.pub --new-bundle-format --trusted-root empty.json --insecure-ignore-tlog --bundle cosign-blob.json";
  const root = { mediaType: "application/vnd.dev.sigstore.trustedroot+json;version=0.1" };
  writeFileSync(
    at("empty.json"),
    JSON.stringify({ ...root, tlogs: [], certificateAuthorities: [], ctlogs: [], timestampAuthorities: [] }),
  );
  folder.run(`${verify} file`);
  expect(() => folder.run(`${verify} other`)).toThrow();
  expect(readFileSync(at("file"))).toEqual(DATA);
});
