import { join } from "node:path";
import { top } from "../../scripts/house/tree.ts";
import { filesBelow } from "../reproducible/compare.ts";
import { currentRelease } from "./current-release.ts";
import { type Figure, peerOf } from "./figure.ts";
import { bestInTurns } from "./timing.ts";

/** Both verifiers, the one file that ships and the one of the checkout, against hashing the same files with openssl; page cache warm. */
export async function measureVerify(): Promise<readonly Figure[]> {
  const dir = await currentRelease();
  const files = filesBelow(dir).map((name) => join(dir, name));
  const node = [process.execPath, "--disable-warning=ExperimentalWarning"];
  const best = bestInTurns({
    shipped: { argv: [...node, join(dir, "services/secai-verify.mjs"), "release", dir] },
    checkout: { argv: [...node, "scripts/secai.ts", "verify", "release", dir], cwd: top },
    openssl: { argv: ["openssl", "dgst", "-sha256", ...files] },
  });
  const figure = (id: string, title: string, seconds: number): Figure => ({
    id,
    title,
    unit: "x",
    value: seconds / best.openssl,
    budget: { limit: 1.25, kind: "at most" },
    peer: peerOf(seconds, "openssl dgst -sha256", best.openssl, "s"),
  });
  return [
    figure("verify.release", "verify release, the file that ships, to openssl", best.shipped),
    figure("verify.release.checkout", "verify release, from the checkout, to openssl", best.checkout),
  ];
}
