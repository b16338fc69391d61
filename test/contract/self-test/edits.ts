import { mkdirSync, readdirSync, rmdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { canonicalJson } from "@secai/formats/canonical-json";
import { sha256 } from "@secai/formats/digest";
import { bundleOf, CHANNEL_FILE, MANIFEST_FILE, MEASUREMENTS_FILE, PROVENANCE_FILE } from "@secai/formats/release-layout";
import { statementOf } from "@secai/formats/release-statements";
import { buildStatement, type Subject, statementBytes, subjectOf } from "@secai/formats/statement";
import { type Mutable, namesIn, read, remove, reseal, restate, set, signPayload, write } from "../release/forge.ts";
import type { Case, SelfTestScene } from "./scene.ts";

// A whole release with other contents, every list, digest and signature of which is right: the work of whoever holds the key.

export type Apply = NonNullable<Case["apply"]>;
/** New contents by file; `undefined` for one that the release does not have. */
export type Contents = Readonly<Record<string, string | Uint8Array | undefined>>;

const exists = (dir: string, name: string) => namesIn(dir).includes(name);
const signsItsContent = (file: string) => file !== MANIFEST_FILE && file !== PROVENANCE_FILE && statementOf(file) !== undefined;

/** Signs the statement that a file's content calls for. */
function state({ dir, key }: SelfTestScene, file: string): void {
  const { predicateType = "", subjects = [] } = statementOf(file) ?? {};
  const about = subjects.map((name) => subjectOf(name, sha256(exists(dir, name) ? read(dir, name) : name)));
  const statement = buildStatement(predicateType, about, JSON.parse(read(dir, file).toString()));
  write(dir, bundleOf(file), signPayload(statementBytes(statement), key));
}

/** Puts the contents into the release and makes statements, provenance and lists follow. */
export async function remake(scene: SelfTestScene, contents: Contents): Promise<void> {
  const { dir, key } = scene;
  for (const [name, content] of Object.entries(contents)) {
    if (content === undefined) for (const gone of [name, bundleOf(name)]) removeWithFolder(dir, gone);
    else {
      mkdirSync(dirname(join(dir, name)), { recursive: true });
      write(dir, name, content);
    }
  }
  const touched = namesIn(dir).filter((file) => signsItsContent(file) && isTouched(file, contents));
  for (const file of touched) state(scene, file);
  await restate(dir, PROVENANCE_FILE, key, (statement) => {
    const before = (statement.subject as readonly Subject[]).map(({ name }) => name);
    const names = [...new Set([...before, ...Object.keys(contents).filter(isBuilt)])].filter((name) => exists(dir, name));
    statement.subject = names.sort().map((name) => ({ name, digest: { sha256: sha256(read(dir, name)) } }));
  });
}

/** A file, and the folders that hold nothing then: an empty one is wrong in itself. */
function removeWithFolder(dir: string, name: string): void {
  if (!exists(dir, name)) return;
  remove(dir, name);
  for (let folder = dirname(name); folder !== "." && readdirSync(join(dir, folder)).length === 0; folder = dirname(folder))
    rmdirSync(join(dir, folder));
}

/** Its content changed, or that of a file it is about. */
const isTouched = (file: string, contents: Contents) =>
  [file, ...(statementOf(file)?.subjects ?? [])].some((name) => contents[name] !== undefined);
const isBuilt = (name: string) => /^(services|sbom)\//.test(name);

/** The content of a canonical document with some of it changed. */
export function changed(dir: string, file: string, change: (document: Mutable) => void): string {
  const document = JSON.parse(read(dir, file).toString()) as Mutable;
  change(document);
  return `${canonicalJson(document)}\n`;
}

/** One value of a document replaced, e.g. "rootHash" or "packages/0/version"; `undefined` removes it. */
export const replaced = (file: string, path: string, value: unknown): Apply =>
  edited(file, (document) => set(document, path, value));

export const edited =
  (file: string, change: (document: Mutable) => void): Apply =>
  (scene) =>
    remake(scene, { [file]: changed(scene.dir, file, change) });

export const made =
  (contents: Contents): Apply =>
  (scene) =>
    remake(scene, contents);

/** The same release for others. */
export async function redesignate(scene: SelfTestScene, designation: "candidate" | "stable"): Promise<void> {
  const { dir, key } = scene;
  const channel = changed(dir, CHANNEL_FILE, (document) => set(document, "channel", designation));
  const measurements = changed(dir, MEASUREMENTS_FILE, (document) => set(document, "designation", designation));
  await remake(scene, { [CHANNEL_FILE]: channel, [MEASUREMENTS_FILE]: measurements });
  await restate(dir, PROVENANCE_FILE, key, (statement) =>
    set(statement, "predicate/buildDefinition/externalParameters/designation", designation),
  );
  reseal(dir, key, { designation });
}
