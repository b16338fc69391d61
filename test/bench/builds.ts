import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { cacheDirectory } from "../../pipelines/engine/command.ts";
import { top } from "../../scripts/house/tree.ts";
import { type ImageRun, runImage } from "../reproducible/image-run.ts";
import { readBuild } from "../reproducible/records.ts";
import { changeFile, createWorkshop, removeWorkshop, type Workshop } from "../reproducible/workshop.ts";
import { onTermination } from "../vm/processes.ts";
import { currentRelease } from "./current-release.ts";
import { type Figure, notMeasured, peerOf } from "./figure.ts";
import { createMkosiPeer, MKOSI_WHAT } from "./mkosi.ts";
import { bestInTurns, timeCommand } from "./timing.ts";

/** Nothing changed. The floor is what starting Node twice costs: the host's, which sets up, and the pinned one, which works. */
export async function measureUnchanged(): Promise<readonly Figure[]> {
  await currentRelease();
  const best = bestInTurns({
    image: { argv: [join(top, "scripts/secai"), "image"], cwd: top },
    floor: { argv: ["sh", "-c", `node -e 0 && '${process.execPath}' -e 0`], cwd: top },
  });
  return [
    {
      id: "image.unchanged",
      title: "image, nothing changed",
      unit: "s",
      value: best.image,
      budget: { limit: 2, kind: "at most" },
      peer: peerOf(best.image, "starting both Nodes", best.floor, "s"),
    },
  ];
}

async function inWorkshop<T>(start: "fetched" | "everything", work: (workshop: Workshop) => Promise<T>): Promise<T> {
  const workshop = createWorkshop(start);
  const release = onTermination(() => removeWorkshop(workshop));
  try {
    return await work(workshop);
  } finally {
    release();
    removeWorkshop(workshop);
  }
}

const CHANGED_SERVICE = "services-src/policy-engine/main.ts";

/** One line of a service changed, in a copy; compared with reading and compressing the appliance's tree once. */
export async function measureService(): Promise<readonly Figure[]> {
  await currentRelease();
  return await inWorkshop("everything", async (workshop) => {
    await runImage({ top: workshop.checkout, env: workshop.env });
    const before = readFileSync(join(workshop.checkout, CHANGED_SERVICE), "utf8");
    const firstImport = /^import /m.exec(before)?.[0] ?? "";
    changeFile(workshop, CHANGED_SERVICE, firstImport, `process.title = "policy-engine-changed";\n${firstImport}`);
    const run = await runImage({ top: workshop.checkout, env: workshop.env });
    const built = await readBuild(run.dir, workshop.cacheDir);
    const tree = built.outputPath("tree", "tree");
    const floor = timeCommand({ argv: ["sh", "-c", `tar -C '${tree}' -cf - . | zstd -q -3 -T2 >/dev/null`] });
    const seconds = run.wallMs / 1000;
    return [
      {
        id: "image.service",
        title: "image, one line of a service changed",
        unit: "s",
        value: seconds,
        budget: { limit: 12, kind: "at most" },
        peer: peerOf(seconds, "tar and zstd of the appliance's tree", floor, "s"),
        parts: partsOf(run),
      },
    ];
  });
}

/** Steps that ran, in the order they ended, and what is no step's time: start, hashing of outputs, flushing, signing. */
function partsOf({ steps, wallMs }: ImageRun): { name: string; value: number }[] {
  const ran = steps.filter(({ cached, durationMs }) => !cached && durationMs > 0);
  const last = Math.max(0, ...ran.map(({ endedAtMs }) => endedAtMs));
  return [
    ...ran.map(({ id, durationMs, endedAtMs }) => ({
      name: `${id}, ended at ${(endedAtMs / 1000).toFixed(1)} s`,
      value: durationMs / 1000,
    })),
    { name: "after the last step: statements, signatures, release directory", value: (wallMs - last) / 1000 },
  ];
}

/** Everything but the download, in turns with mkosi doing the same; the best of each, because the machine may be shared. */
export async function measureCold(): Promise<readonly Figure[]> {
  await currentRelease();
  const peer = await createMkosiPeer().catch((error: unknown) => ({ error }));
  try {
    const runs: ImageRun[] = [];
    const mkosi: number[] = [];
    let failure: unknown = "error" in peer ? peer.error : undefined;
    for (let round = 0; round < ROUNDS; round++) {
      runs.push(await inWorkshop("fetched", ({ checkout, env }) => runImage({ top: checkout, env })));
      if ("error" in peer || failure !== undefined) continue;
      await peer.time().then(
        (seconds) => mkosi.push(seconds),
        (error: unknown) => {
          failure = error;
        },
      );
    }
    return coldFigures(runs, mkosi, failure);
  } finally {
    if (!("error" in peer)) peer.close();
  }
}

const ROUNDS = 2;

/** mkosi finds its tools installed; we make ours first, so there are two ratios, and the budget holds for the one with everything in it. */
function coldFigures(runs: readonly ImageRun[], mkosi: readonly number[], failure: unknown): readonly Figure[] {
  const best = runs.reduce((a, b) => (b.wallMs < a.wallMs ? b : a));
  const seconds = best.wallMs / 1000;
  const fromToolRoot = (best.wallMs - (best.steps.find(({ id }) => id === "root.build")?.endedAtMs ?? 0)) / 1000;
  const budget = { limit: 0.8, kind: "at most" } as const;
  const ratio = (id: string, title: string, value: number): Figure => {
    const figure: Figure = { id, title, unit: "x", budget };
    if (failure !== undefined) return notMeasured(figure, failure);
    const peer = Math.min(...mkosi);
    return { ...figure, value: value / peer, peer: peerOf(value, MKOSI_WHAT, peer, "s") };
  };
  return [
    {
      id: "image.cold",
      title: "image, cold, packages fetched",
      unit: "s",
      value: seconds,
      budget: { limit: 180, kind: "at most" },
      parts: partsOf(best),
    },
    ratio("image.cold.mkosi", "cold, tool root included, to mkosi", seconds),
    ratio("image.cold.mkosi.tools", "cold, from the tool root, to mkosi", fromToolRoot),
  ];
}

export async function measureSize(): Promise<readonly Figure[]> {
  const dir = await currentRelease();
  const mib = (name: string): number => statSync(join(dir, name)).size / 2 ** 20;
  const { steps } = await readBuild(dir, cacheDirectory(process.env));
  const tree = (steps.get("tree")?.outputs.tree?.size ?? 0) / 2 ** 20;
  return ["disk.raw.zst", "disk.qcow2"].map((name): Figure => {
    const value = mib(name);
    const peer = peerOf(value, "the files of the root", tree, "MiB");
    return { id: `size.${name}`, title: `size of ${name}`, unit: "MiB", value, budget: { limit: 200, kind: "at most" }, peer };
  });
}
