import { canonicalJson } from "@secai/formats/canonical-json";
import { bundleOf, isSignedFile, MANIFEST_FILE, PROVENANCE_FILE } from "@secai/formats/release-layout";
import { signBlob } from "@secai/sign/sign";
import {
  type Mutable,
  read,
  remove,
  reseal,
  set,
  setIn,
  signChecksums,
  signPayload,
  statementIn,
  write,
} from "../release/forge.ts";
import { type Guards, guardsOf } from "./guards.ts";
import type { Case, SelfTestScene } from "./scene.ts";

// What can be wrong with one signed statement, while everything around it was listed and signed anew by somebody with the right key: only
// what the verifier demands of the statement itself can find it.

/** Lists and signs what lies there; the manifest's own statement stays as somebody left it. */
function seal({ dir, key }: SelfTestScene, file: string): void {
  if (file === MANIFEST_FILE) signChecksums(dir, key);
  else reseal(dir, key);
}

type Spoil = (scene: SelfTestScene, file: string) => void;

/** Signs a changed statement again, by the key that may. */
const restated =
  (change: (statement: Mutable) => void): Spoil =>
  ({ dir, key }, file) => {
    const statement = statementIn(dir, file);
    change(statement);
    const payload = Buffer.from(`${canonicalJson(statement)}\n`);
    if (file === PROVENANCE_FILE) write(dir, file, payload);
    write(dir, bundleOf(file), signPayload(payload, key));
  };

const payloadOf = (dir: string, file: string): Buffer => Buffer.from(`${canonicalJson(statementIn(dir, file))}\n`);
const firstSubject = ({ subject }: Mutable): unknown => (subject as readonly unknown[])[0];

/** By the question that finds it: whether a trusted key signed this, whether it is the right kind, whether it is about this release. */
const spoils: readonly {
  readonly name: string;
  readonly finder: "signature" | "content" | "canonical" | "subject";
  readonly spoil: Spoil;
}[] = [
  {
    name: "signed by a stranger",
    finder: "signature",
    spoil: ({ dir, stranger }, file) => write(dir, bundleOf(file), signPayload(payloadOf(dir, file), stranger)),
  },
  {
    name: "signed by a stranger under the right hint",
    finder: "signature",
    spoil: ({ dir, stranger }, file) => {
      const { verificationMaterial } = JSON.parse(read(dir, bundleOf(file)).toString()) as Mutable;
      write(dir, bundleOf(file), signPayload(payloadOf(dir, file), stranger));
      setIn(dir, bundleOf(file), "verificationMaterial", verificationMaterial);
    },
  },
  {
    name: "an empty signature",
    finder: "signature",
    spoil: ({ dir }, file) => setIn(dir, bundleOf(file), "dsseEnvelope/signatures/0/sig", ""),
  },
  {
    name: "another payload under the same signature",
    finder: "signature",
    spoil: ({ dir }, file) => {
      const statement = statementIn(dir, file);
      set(statement, "subject/0/digest/sha256", "0".repeat(64));
      setIn(dir, bundleOf(file), "dsseEnvelope/payload", Buffer.from(`${canonicalJson(statement)}\n`).toString("base64"));
    },
  },
  {
    name: "signed under another payload type",
    finder: "signature",
    spoil: ({ dir, key }, file) => write(dir, bundleOf(file), signPayload(payloadOf(dir, file), key, "text/plain")),
  },
  {
    name: "the signature of a file, not of a statement",
    finder: "signature",
    spoil: ({ dir, key }, file) => write(dir, bundleOf(file), signBlob(read(dir, file), key)),
  },
  {
    name: "a key id beside the signature",
    finder: "canonical",
    spoil: ({ dir }, file) => setIn(dir, bundleOf(file), "dsseEnvelope/signatures/0/keyid", "me"),
  },
  {
    name: "a bundle cut short",
    finder: "canonical",
    spoil: ({ dir }, file) => write(dir, bundleOf(file), read(dir, bundleOf(file)).subarray(0, -20)),
  },
  {
    name: "a bundle of the wrong version",
    finder: "canonical",
    spoil: ({ dir }, file) => setIn(dir, bundleOf(file), "mediaType", "application/vnd.dev.sigstore.bundle.v0.1+json"),
  },
  {
    name: "another predicate type",
    finder: "content",
    spoil: restated((statement) => set(statement, "predicateType", "urn:other")),
  },
  {
    name: "another statement type",
    finder: "content",
    spoil: restated((statement) => set(statement, "_type", "https://in-toto.io/Statement/v0.1")),
  },
  { name: "an unknown member in the statement", finder: "content", spoil: restated((statement) => set(statement, "note", "x")) },
  { name: "no subject", finder: "content", spoil: restated((statement) => set(statement, "subject", [])) },
  { name: "a predicate that is a list", finder: "content", spoil: restated((statement) => set(statement, "predicate", [])) },
  {
    name: "the digest of something else",
    finder: "subject",
    spoil: restated((statement) => set(statement, "subject/0/digest/sha256", "0".repeat(64))),
  },
  {
    name: "a subject that no release has",
    finder: "subject",
    spoil: restated((statement) => set(statement, "subject/0/name", "ghost")),
  },
  {
    name: "a subject in an algorithm nobody asked for",
    finder: "content",
    spoil: restated((statement) => set(statement, "subject/0/digest", { md5: "0".repeat(32) })),
  },
  {
    name: "a subject twice",
    finder: "content",
    spoil: restated((statement) => set(statement, "subject", [firstSubject(statement), firstSubject(statement)])),
  },
];

const stripped = (file: string): Case => ({
  name: `${file}: no statement`,
  fails: [`layout.closed-world:${bundleOf(file)}`],
  apply: (scene) => {
    remove(scene.dir, bundleOf(file));
    seal(scene, file);
  },
});

/** Statements of one release that stand in the place of each other: all genuine, each of another kind. */
const exchanged = (file: string, { content }: Guards, other: string): Case => ({
  name: `${file}: the statement of ${other}`,
  fails: [content],
  apply: (scene) => {
    write(scene.dir, bundleOf(file), read(scene.dir, bundleOf(other)));
    seal(scene, file);
  },
});

export function spoiledStatements(names: readonly string[]): readonly Case[] {
  const guarded = names.filter(isSignedFile).flatMap((file) => {
    const guards = guardsOf(file);
    return guards === undefined ? [] : [{ file, guards }];
  });
  const cases = spoils.flatMap(({ name, finder, spoil }) =>
    guarded.map(({ file, guards }): Case => {
      const apply = (scene: SelfTestScene) => {
        spoil(scene, file);
        seal(scene, file);
      };
      return { name: `${file}: ${name}`, fails: [guards[finder]], apply };
    }),
  );
  const next = (index: number) => guarded[(index + 1) % guarded.length]?.file ?? "";
  const turned = guarded.map(({ file, guards }, index) => exchanged(file, guards, next(index)));
  return [...cases, ...guarded.map(({ file }) => stripped(file)), ...turned];
}
