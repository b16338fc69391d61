import { join } from "node:path";
import { top } from "../../scripts/house/tree.ts";
import { filesBelow } from "../reproducible/compare.ts";
import { currentRelease } from "./current-release.ts";
import { type Figure, peerOf } from "./figure.ts";
import { bestInTurns } from "./timing.ts";

/** The verifier against hashing the same files with openssl; both read from the page cache. */
export async function measureVerify(): Promise<readonly Figure[]> {
  const dir = await currentRelease();
  const files = filesBelow(dir).map((name) => join(dir, name));
  const node = [process.execPath, "--disable-warning=ExperimentalWarning"];
  const best = bestInTurns({
    verify: { argv: [...node, "scripts/secai.ts", "verify", "release", dir], cwd: top },
    openssl: { argv: ["openssl", "dgst", "-sha256", ...files] },
  });
  const value = best.verify / best.openssl;
  return [
    {
      id: "verify.release",
      title: "verify release, to openssl dgst",
      unit: "x",
      value,
      budget: { limit: 1.25, kind: "at most" },
      peer: peerOf(best.verify, "openssl dgst -sha256", best.openssl, "s"),
    },
  ];
}
