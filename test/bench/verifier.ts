import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { MAX_BUNDLE_BYTES, parseBundle } from "../../attest/formats/bundle.ts";
import { parsePublicKey } from "../../attest/formats/keys.ts";
import { mediumOf } from "../../attest/formats/release-layout.ts";
import { verifyStatementBundle } from "../../attest/formats/signature.ts";
import { top } from "../../scripts/house/tree.ts";
import { filesBelow } from "../reproducible/compare.ts";
import { currentRelease } from "./current-release.ts";
import { type Figure, notMeasured, peerOf } from "./figure.ts";
import { bestInTurns, type TimedCommand } from "./timing.ts";

const NODE = [process.execPath, "--disable-warning=ExperimentalWarning"];
const VERIFIER = "services/secai-verify.mjs";
const atMost = (limit: number) => ({ limit, kind: "at most" }) as const;

/** The one file that ships, over a release of this checkout, page cache warm. */
export async function measureVerify(): Promise<readonly Figure[]> {
  return figuresOf(await currentRelease());
}

/** @param dir a release with the verifier to be measured among its services */
export const figuresOf = (dir: string): readonly Figure[] => [
  ...whole(dir),
  withoutMedia(dir),
  oneBundle(dir),
  start(dir),
  size(dir),
];

const shipped = (dir: string, ...args: string[]): TimedCommand => ({ argv: [...NODE, join(dir, VERIFIER), ...args] });

/** Both verifiers, the one file that ships and the one of the checkout, against hashing the same files with openssl. */
function whole(dir: string): readonly Figure[] {
  const files = filesBelow(dir).map((name) => join(dir, name));
  const best = bestInTurns({
    shipped: shipped(dir, "release", dir),
    checkout: { argv: [...NODE, "scripts/secai.ts", "verify", "release", dir], cwd: top },
    openssl: { argv: ["openssl", "dgst", "-sha256", ...files] },
  });
  const figure = (id: string, title: string, seconds: number): Figure => ({
    id,
    title,
    unit: "x",
    value: seconds / best.openssl,
    budget: atMost(1.1),
    peer: peerOf(seconds, "openssl dgst -sha256", best.openssl, "s"),
  });
  return [
    figure("verify.release", "verify release, the file that ships, to openssl", best.shipped),
    figure("verify.release.checkout", "verify release, from the checkout, to openssl", best.checkout),
  ];
}

/** What an auditor does who fetches everything but the disks: a directory in which they are not. */
function withoutMedia(dir: string): Figure {
  const names = filesBelow(dir);
  const media = new Set(names.flatMap((name) => mediumOf(name) ?? []));
  const scratch = mkdtempSync(join(tmpdir(), "secai-bench-"));
  try {
    for (const name of names.filter((one) => mediumOf(one) === undefined)) {
      mkdirSync(dirname(join(scratch, name)), { recursive: true });
      copyFileSync(join(dir, name), join(scratch, name));
    }
    const without = [...media].flatMap((name) => ["--without", name]);
    const { seconds } = bestInTurns({ seconds: shipped(dir, "release", scratch, ...without) });
    return {
      id: "verify.without-media",
      title: "verify release without its media",
      unit: "s",
      value: seconds,
      budget: atMost(2),
    };
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** Parsing and checking one signature bundle in a process that runs already: the slowest of the release's. */
function oneBundle(dir: string): Figure {
  const figure = { id: "verify.bundle", title: "verify the slowest single bundle", unit: "s", budget: atMost(0.05) } as const;
  const key = parsePublicKey(readFileSync(join(dir, "keys/release.pub")));
  const names = filesBelow(dir).filter((name) => name.endsWith(".json.sigstore.json"));
  const times = names.map((name) => ({ name, value: secondsOf(join(dir, name), key) }));
  const [slowest] = times.toSorted((a, b) => b.value - a.value);
  if (slowest === undefined) return notMeasured(figure, new Error("the release has no bundle"));
  return { ...figure, value: slowest.value, parts: times };
}

/** The best of a few runs. */
function secondsOf(path: string, key: ReturnType<typeof parsePublicKey>): number {
  const bytes = readFileSync(path);
  if (bytes.length > MAX_BUNDLE_BYTES) return Number.POSITIVE_INFINITY;
  const runs = Array.from({ length: 5 }, () => {
    const started = performance.now();
    const bundle = parseBundle(bytes);
    if (bundle.kind === "statement") verifyStatementBundle(bundle, key);
    return (performance.now() - started) / 1000;
  });
  return Math.min(...runs);
}

function start(dir: string): Figure {
  const { seconds } = bestInTurns({ seconds: shipped(dir, "--help") });
  return { id: "verify.start", title: "start the verifier", unit: "s", value: seconds, budget: atMost(0.25) };
}

/** 5 MB, in the MiB that figures have. */
const MAX_FILE_MIB = 5_000_000 / 2 ** 20;

function size(dir: string): Figure {
  const value = statSync(join(dir, VERIFIER)).size / 2 ** 20;
  return { id: "verify.size", title: "size of the verifier, one file", unit: "MiB", value, budget: atMost(MAX_FILE_MIB) };
}
