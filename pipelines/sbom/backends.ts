import { ComponentType } from "@cyclonedx/cyclonedx-library/Enums";
import { Component, ComponentRepository } from "@cyclonedx/cyclonedx-library/Models";
import { parseSha256 } from "@secai/formats/digest";
import type { BackendEntry, GpuBackends } from "@secai/formats/gpu-backends";
import { fileComponent, properties } from "./document.ts";
import { SbomError } from "./errors.ts";
import { expressionRepository } from "./licences.ts";
import type { RootFile } from "./root-files.ts";

/** What gpu-backends.json declares of the tree that a document is about. */
export interface DeclaredHere {
  /** Absent from a tree without it. */
  readonly runtime?: GpuBackends["runtime"];
  readonly backends: readonly BackendEntry[];
}

/** Folders of the image in which every file must be a declared backend's, or the runtime's. */
const BACKEND_FOLDERS = /^\/usr\/lib\/secure-ai\/(runtime|backends)\//;

/** Package URL of an entry of the lock, "npm:NAME@VERSION"; other kinds have none here. */
function purlOf(entry: string): string | undefined {
  const [, name, version] = /^npm:((?:@[^/@]+\/)?[^/@]+)@(\S+)$/.exec(entry) ?? [];
  return name === undefined ? undefined : `pkg:npm/${name.replace("@", "%40")}@${version}`;
}

const filesOf = (ref: string, files: BackendEntry["files"]): ComponentRepository =>
  new ComponentRepository(files.map(({ path, sha256 }) => fileComponent(`${ref}:${path}`, path, parseSha256(sha256))));

/** A backend with its files, each a component of its own. */
function backendComponent({ name, version, files, source, architectures, licences, libraries }: BackendEntry): Component {
  const ref = `backend:${name}`;
  const purl = source.kind === "npm" ? source.lock.map(purlOf).find((found) => found !== undefined) : undefined;
  return new Component(ComponentType.Library, `ggml-${name}`, {
    bomRef: ref,
    group: "@secai",
    version,
    ...(purl === undefined ? {} : { purl }),
    licenses: expressionRepository(licences.join(" AND ")),
    components: filesOf(ref, files),
    properties: properties({
      "backend:source": source.kind,
      "backend:lock": source.lock,
      ...(source.toolRoot === undefined ? {} : { "backend:tool-root": source.toolRoot }),
      "backend:architecture": architectures,
      "backend:library": libraries,
    }),
  });
}

/** The runtime that loads backends, as a component like them. */
function runtimeComponent({ package: name, version, llamaCpp, ggml, files, licences }: GpuBackends["runtime"]): Component {
  const purl = purlOf(`npm:${name}@${version}`);
  return new Component(ComponentType.Library, name, {
    bomRef: "runtime",
    version,
    ...(purl === undefined ? {} : { purl }),
    licenses: expressionRepository(licences.join(" AND ")),
    components: filesOf("runtime", files),
    properties: properties({ "runtime:llama.cpp": llamaCpp, "runtime:ggml": ggml }),
  });
}

/**
 * The runtime and the backends of one tree: every file of theirs must be there with the declared digest, and nothing else may lie in their
 * folders.
 * @returns the component of each of the files, by path
 * @throws SbomError SBOM_BACKEND_DIFFERS
 */
export function backendComponents(
  { runtime, backends }: DeclaredHere,
  files: readonly RootFile[],
): ReadonlyMap<string, Component> {
  const there = new Map(files.flatMap((file) => (file.type === "file" ? [[file.path, file.sha256] as const] : [])));
  const declared = [
    ...(runtime === undefined ? [] : [{ what: "the runtime", files: runtime.files, component: runtimeComponent(runtime) }]),
    ...backends.map((one) => ({ what: `the backend ${one.name}`, files: one.files, component: backendComponent(one) })),
  ];
  const byPath = new Map<string, Component>();
  for (const { what, files: listed, component } of declared) {
    for (const { path, sha256 } of listed) {
      const actual = there.get(path);
      if (actual !== sha256) {
        const expected = `${path} of ${what} with sha256 ${sha256}`;
        throw new SbomError("SBOM_BACKEND_DIFFERS", { expected, actual: actual ?? "no such file" });
      }
      byPath.set(path, component);
    }
  }
  const stray = files.find(({ path, type }) => type !== "special" && BACKEND_FOLDERS.test(path) && !byPath.has(path));
  if (stray !== undefined)
    throw new SbomError("SBOM_BACKEND_DIFFERS", { expected: "files of declared backends", actual: stray.path });
  return byPath;
}
