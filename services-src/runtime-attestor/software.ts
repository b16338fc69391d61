import { createHash } from "node:crypto";
import { lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { CodedError } from "@secai/kit/errors";
import { readServiceManifest } from "@secai/verify/runtime-collect-boot";
import { POLICY_FOLDER } from "@secai/verify/runtime-collect-files";
import { digestOf } from "@secai/verify/runtime-files";
import type { Finding } from "./finding.ts";

const MAX_POLICY_FILES = 256;

/** What lies in the sealed root and decides how services behave, as it is now. */
export interface Software {
  /** SHA-256 of each bundle that is there, by service. */
  readonly services: Readonly<Record<string, string>>;
  /** SHA-256 over path NUL SHA-256 NUL of each policy file, ordered by path. */
  readonly policyDigest: string;
  readonly findings: readonly Finding[];
}

/** Reads and hashes. @throws what the system says about an unreadable folder */
export function readSoftware(root: string): Software {
  const isSealed = sealedTest(root);
  const { services, findings } = readServices(root, isSealed);
  const { digest, covered } = readPolicies(root, isSealed);
  return { services, policyDigest: digest, findings: [...findings, ...covered] };
}

type SealedTest = (path: string) => boolean;

/**
 * A file of the sealed root lies on the root's device, or below /usr on that of a layer of the overlay that extensions make; one that is
 * mounted over it lies elsewhere. Links count for themselves.
 */
function sealedTest(root: string): SealedTest {
  const deviceOf = (path: string) => lstatSync(path, { throwIfNoEntry: false })?.dev;
  const devices = new Set([deviceOf(root), deviceOf(join(root, "usr/lib/os-release"))]);
  return (path) => devices.has(deviceOf(path));
}

function covered(check: string, path: string): Finding {
  return { check, code: "FILE_COVERED", expected: "a file of the sealed root", actual: path };
}

function readServices(root: string, isSealed: SealedTest): Pick<Software, "services" | "findings"> {
  const services: Record<string, string> = {};
  const findings: Finding[] = [];
  for (const [name, { path, sha256 }] of manifestOf(root, findings)) {
    const at = join(root, path);
    const actual = digestOf(at);
    if (actual !== null) services[name] = actual;
    if (actual !== sha256)
      findings.push({
        check: "software.services",
        code: "SERVICE_CHANGED",
        expected: `${name} ${sha256}`,
        actual: actual ?? "unreadable",
      });
    else if (!isSealed(at)) findings.push(covered("software.services", path));
  }
  return { services, findings };
}

function manifestOf(root: string, findings: Finding[]): [string, { readonly path: string; readonly sha256: string }][] {
  try {
    const services = readServiceManifest(root);
    if (services !== undefined) return Object.entries(services);
    findings.push({
      check: "software.manifest",
      code: "SERVICE_MANIFEST",
      expected: "a sealed service manifest",
      actual: "none",
    });
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    const { code, expected = "-", actual = "-" } = error;
    findings.push({ check: "software.manifest", code, expected, actual });
  }
  return [];
}

function readPolicies(root: string, isSealed: SealedTest): { readonly digest: string; readonly covered: readonly Finding[] } {
  const folder = join(root, POLICY_FOLDER);
  const paths = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
    .slice(0, MAX_POLICY_FILES + 1);
  if (paths.length > MAX_POLICY_FILES) throw new RangeError(`more than ${MAX_POLICY_FILES} files in ${POLICY_FOLDER}`);
  const hash = createHash("sha256");
  for (const path of paths) hash.update(`/${path.slice(root.length).replace(/^\/+/, "")}\0${digestOf(path) ?? "unreadable"}\0`);
  const elsewhere = paths.filter((path) => !isSealed(path));
  return { digest: hash.digest("hex"), covered: elsewhere.map((path) => covered("software.policies", path)) };
}
