import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { brotliCompressSync, constants } from "node:zlib";
import { sha256 } from "@secai/formats/digest";
import { verify } from "@secai/verify/self-test/command";
import { buildContainer, type Corpus, type SelfTestCase } from "@secai/verify/self-test/corpus";
import { ask, idsOf, mistakeIn } from "@secai/verify/self-test/run-case";
import { namesIn } from "../release/forge.ts";
import { allCases } from "./cases.ts";
import { type Case, makeScene, RELEASE_ARGS, type SelfTestScene } from "./scene.ts";
import { changesBetween, type Snapshot, takeSnapshot } from "./snapshot.ts";

/** Folders that a case may change; whatever else a mutation leaves beside them is its own scratch. */
const KEPT = /^(release|older|inputs)(\/|$)/;
const LINE_CHARACTERS = 120;

/** Contents by number, each once. */
class Contents {
  readonly blobs: Buffer[] = [];
  readonly #numbers = new Map<string, number>();

  numberOf = (content: Buffer): number => {
    const digest = sha256(content);
    const known = this.#numbers.get(digest);
    if (known !== undefined) return known;
    this.#numbers.set(digest, this.blobs.length);
    return this.blobs.push(content) - 1;
  };
}

export interface Generated {
  readonly corpus: Corpus;
  /** Cases that the verifier of this checkout does not answer as their author says: a mistake of one or the other. */
  readonly mistakes: readonly string[];
}

/** Plays every case against the verifier of this checkout and records what was on the disk. */
export async function generateCorpus(): Promise<Generated> {
  const scratch = mkdtempSync(join(tmpdir(), "secai-corpus-"));
  try {
    const scene = await makeScene(scratch);
    const contents = new Contents();
    const before = snapshotOf(scene);
    const base = Object.fromEntries(
      [...before].flatMap(([path, node]) => (node.kind === "file" ? [[path, contents.numberOf(node.content)]] : [])),
    );
    cpSync(scene.root, join(scratch, "base"), { recursive: true });
    const played = [];
    for (const one of allCases(namesIn(scene.dir))) {
      rmSync(scene.root, { recursive: true });
      cpSync(join(scratch, "base"), scene.root, { recursive: true });
      played.push(await play(one, scene, before, contents));
    }
    const cases = played.map(({ recorded }) => recorded);
    return { corpus: { at: scene.at, base, cases, blobs: contents.blobs }, mistakes: played.flatMap(({ mistake }) => mistake) };
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

const snapshotOf = ({ root }: SelfTestScene): Snapshot => new Map([...takeSnapshot(root)].filter(([path]) => KEPT.test(path)));

async function play(one: Case, scene: SelfTestScene, before: Snapshot, contents: Contents) {
  try {
    await one.apply?.(scene);
  } catch (error) {
    const recorded: SelfTestCase = { name: one.name, args: RELEASE_ARGS, changes: [], exit: 0, expects: [], ids: [] };
    return { recorded, mistake: [`${one.name}: cannot be made: ${(error as Error).message}`] };
  }
  const changes = changesBetween(before, snapshotOf(scene), contents.numberOf);
  const args = one.args ?? RELEASE_ARGS;
  const outcome = await ask(args, { folder: scene.root, at: scene.at }, verify);
  const { code, fails: expects } = one;
  const expected = { exit: one.exit ?? 1, expects, ids: idsOf(outcome), ...(code !== undefined && { code }) };
  const mistake = mistakeIn(expected, outcome);
  const recorded: SelfTestCase = { name: one.name, args, changes, ...expected };
  return { recorded, mistake: mistake === "" ? [] : [`${one.name}: ${mistake}`] };
}

/** The document that is committed as corpus.json. */
export function corpusFile(corpus: Corpus): string {
  const container = buildContainer(corpus);
  const params = {
    [constants.BROTLI_PARAM_QUALITY]: 11,
    [constants.BROTLI_PARAM_LGWIN]: 24,
    [constants.BROTLI_PARAM_SIZE_HINT]: container.length,
  };
  const text = brotliCompressSync(container, { params }).toString("base64");
  const brotli = text.match(new RegExp(`.{1,${LINE_CHARACTERS}}`, "g")) ?? [];
  return `${JSON.stringify({ schema: 1, sha256: sha256(container), brotli }, undefined, 2)}\n`;
}
