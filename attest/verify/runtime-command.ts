import { randomBytes } from "node:crypto";
import { parseArgs } from "node:util";
import type { CommandIo } from "./command.ts";
import { VerifyError } from "./errors.ts";
import { policyFrom, print } from "./release-command.ts";
import { exitStatusOf } from "./report.ts";
import { credentialFor, isOpened } from "./runtime-activation.ts";
import { type Evidence, MAX_EVIDENCE_BYTES, NONCE, parseEvidence } from "./runtime-evidence.ts";
import type { Activation } from "./runtime-facts.ts";
import { readInput } from "./runtime-files.ts";
import { MAX_SITE_POLICY_BYTES, parseSitePolicy, type SitePolicy } from "./runtime-policy.ts";
import { askRemote } from "./runtime-remote.ts";
import { type PromiseSource, verifyRuntime } from "./verify-runtime.ts";

export const RUNTIME_HELP = `secai verify runtime: does this machine run that release, and nothing else?

In the machine, as root, it asks the TPM itself. From outside, it asks through a command of yours that reaches the machine:
  --remote COMMAND...   last of all options: everything behind it is that command, started without a shell; the collector's command and a
                        fresh nonce become its last words. Nothing of what comes back is believed before it is verified here
  --deadline SECONDS    for the machine's answer (default 120)
Over an air gap, choose a nonce, carry it there, and hand over what the machine answered:
  --evidence FILE       output of: node /usr/libexec/secure-ai/secai-evidence.mjs --nonce HEX
  --nonce HEX           the 16 to 32 bytes that you chose for this one question
What the machine should be (one of the two, always verified first):
  --release DIR         a release directory; all of secai verify release is part of the answer
  --measurements FILE   the release's measurements.json.sigstore.json alone; version and services are then not compared
Whom to trust (from outside the release; never read from it):
  --key FILE            a public key, as its publisher handed it out; may be repeated
  --fingerprint HEX     with --release: the SHA-256 of such a key; may be repeated
  --key-manifest FILE   a keys.json obtained elsewhere, as secai verify release
                        without any: this user's own keys
  --designation NAME    as secai verify release
  --without FILE        as secai verify release
  --policy FILE         what this site expects instead of the bare release, as canonical JSON:
                        {"schema":1,"name":...} and any of "pcrs" (4, 7, 9, 12), "addonCommandLine", "units" (digest by name),
                        "attestationKeys" (SHA-256 of enrolled keys), "tpmAnchors" and "tpmIntermediates" (PEM certificates
                        of TPM makers; the machine then shows its own, and with --remote proves that its key lies in that
                        TPM). With neither the report says that the key is taken at its word
  --at TIME             as secai verify release
Output:
  --json                the report alone, on standard output
  --verbose             a line for every subject
  --help

Exit status: 0 accepted, 1 rejected, 2 wrong use, 3 undecided, 70 our bug.

Examples:
  secai verify runtime --measurements measurements.json.sigstore.json --key release.pub
  secai verify runtime --release ./secai-1.2.0 --key release.pub --remote ssh root@appliance
  secai verify runtime --evidence machine.json --nonce 8f3a...c1 --release out/debian-13/0.1.0
  secai verify runtime --evidence machine.json --nonce 8f3a...c1 --release ./secai-1.2.0 --key release.pub --policy site.json --json
`;

const options = {
  evidence: { type: "string" },
  nonce: { type: "string" },
  deadline: { type: "string" },
  release: { type: "string" },
  measurements: { type: "string" },
  key: { type: "string", multiple: true },
  fingerprint: { type: "string", multiple: true },
  "key-manifest": { type: "string" },
  designation: { type: "string", multiple: true },
  without: { type: "string", multiple: true },
  policy: { type: "string" },
  at: { type: "string" },
  json: { type: "boolean" },
  verbose: { type: "boolean" },
  help: { type: "boolean", short: "h" },
} as const;

const DEFAULT_DEADLINE_SECONDS = 120;
const MAX_DEADLINE_SECONDS = 3600;

/** `--remote` ends the options: what follows is a command with options of its own. */
function splitRemote(args: readonly string[]): {
  readonly own: readonly string[];
  readonly transport: readonly string[] | undefined;
} {
  const at = args.indexOf("--remote");
  return at < 0 ? { own: args, transport: undefined } : { own: args.slice(0, at), transport: args.slice(at + 1) };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: false, strict: true }).values;
  } catch (cause) {
    throw usage("known options", (cause as Error).message, cause);
  }
}

function usage(expected: string, actual: string, cause?: unknown): VerifyError {
  return new VerifyError("VERIFY_USAGE", { expected, actual, cause });
}

type Values = ReturnType<typeof parse>;

/** @throws VerifyError, RuntimeError, FormatError for a question that cannot be asked; the answer is the exit status */
export async function runVerifyRuntime(args: readonly string[], io: CommandIo): Promise<number> {
  const { own, transport } = splitRemote(args);
  const values = parse(own);
  if (values.help) {
    io.stdout(RUNTIME_HELP);
    return 0;
  }
  const source = sourceFrom(values);
  const site = siteFrom(values);
  // `--release` names a directory here, and a version where releases are verified.
  const { release: _, ...trusting } = values;
  const trust = await policyFrom(trusting, io);
  const at = new Date();
  const answer = transport === undefined ? await evidenceFrom(values) : await evidenceOverThere(transport, values, site);
  const { evidence, nonce, activation = "not-asked" } = answer;
  const target = transport?.join(" ") ?? values.evidence ?? "this machine";
  const report = await verifyRuntime({ target, evidence, nonce, source, trust, site, asked: { activation, at } });
  print(report, values, io);
  return exitStatusOf(report);
}

function sourceFrom({ release, measurements, fingerprint }: Values): PromiseSource {
  if (release !== undefined && measurements === undefined) return { kind: "release", dir: release };
  if (measurements !== undefined && release === undefined && fingerprint === undefined) {
    return { kind: "measurements", bundle: readInput(measurements, MAX_EVIDENCE_BYTES) };
  }
  throw usage("--release DIR, or --measurements FILE without --fingerprint", "neither, both or more");
}

function siteFrom({ policy }: Values): SitePolicy | undefined {
  return policy === undefined ? undefined : parseSitePolicy(readInput(policy, MAX_SITE_POLICY_BYTES));
}

interface Answer {
  readonly evidence: Evidence;
  /** Hex; what the machine was asked with. */
  readonly nonce: string;
  readonly activation?: Activation;
}

const SECRET_BYTES = 32;
const freshNonce = () => randomBytes(32).toString("hex");

/** What a machine that a command reaches answers to a nonce of our own, and to a credential where the site asks for that. */
async function evidenceOverThere(words: readonly string[], values: Values, site: SitePolicy | undefined): Promise<Answer> {
  const { evidence: file, nonce: given, deadline } = values;
  const [command, ...rest] = words;
  const seconds = Number(deadline ?? DEFAULT_DEADLINE_SECONDS);
  if (command === undefined || file !== undefined || given !== undefined)
    throw usage("--remote COMMAND... without --evidence and --nonce", "another mix");
  if (!Number.isInteger(seconds) || seconds < 1 || seconds > MAX_DEADLINE_SECONDS)
    throw usage(`--deadline from 1 to ${MAX_DEADLINE_SECONDS} seconds`, String(deadline));
  const ask = (...question: string[]) => askRemote({ transport: [command, ...rest], words: question, limitMs: seconds * 1000 });
  const nonce = freshNonce();
  const evidence = parseEvidence(await ask("--nonce", nonce));
  const activation = site?.tpmAnchors === undefined ? "not-asked" : await activate(evidence, ask);
  return { evidence, nonce, activation };
}

/** Makes a credential for the keys that the machine showed, and has it opened. @throws RuntimeError REMOTE_FAILED, EVIDENCE_MALFORMED */
async function activate(evidence: Evidence, ask: (...words: string[]) => Promise<Buffer>): Promise<Activation> {
  const secret = randomBytes(SECRET_BYTES);
  const credential = credentialFor(evidence, secret);
  if (credential === undefined) return "not-asked";
  return isOpened(await ask("--activate", credential), secret) ? "opened" : "not-opened";
}

/** The machine's answer to the caller's nonce, or this machine's to one of our own. */
async function evidenceFrom({ evidence, nonce, deadline }: Values): Promise<Answer> {
  if (deadline !== undefined) throw usage("--deadline with --remote", "alone");
  if (evidence !== undefined && nonce !== undefined && NONCE.test(nonce)) {
    return { evidence: parseEvidence(readInput(evidence, MAX_EVIDENCE_BYTES)), nonce };
  }
  if (evidence !== undefined || nonce !== undefined) {
    throw usage("--evidence FILE with --nonce, 16 to 32 bytes of lower-case hex", "one of them");
  }
  const fresh = freshNonce();
  // Only a machine collects; a verifier elsewhere does not load what speaks to a TPM.
  const { collectEvidence } = await import("./runtime-collect.ts");
  return { evidence: await collectEvidence(fresh), nonce: fresh };
}
