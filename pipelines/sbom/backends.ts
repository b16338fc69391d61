import { ComponentType } from "@cyclonedx/cyclonedx-library/Enums";
import { Component, ComponentRepository } from "@cyclonedx/cyclonedx-library/Models";
import { parseSha256 } from "@secai/formats/digest";
import type { BackendEntry } from "@secai/formats/gpu-backends";
import { fileComponent, properties } from "./document.ts";
import { SbomError } from "./errors.ts";
import { expressionRepository } from "./licences.ts";
import type { RootFile } from "./root-files.ts";

/** Folders of the image in which every file must be a declared backend's. */
const BACKEND_FOLDERS = /^\/usr\/lib\/secure-ai\/(runtime|backends)\//;

/** Package URL of an entry of the lock, "npm:NAME@VERSION"; other kinds have none here. */
function purlOf(entry: string): string | undefined {
  const [, name, version] = /^npm:((?:@[^/@]+\/)?[^/@]+)@(\S+)$/.exec(entry) ?? [];
  return name === undefined ? undefined : `pkg:npm/${name.replace("@", "%40")}@${version}`;
}

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
    components: new ComponentRepository(
      files.map(({ path, sha256 }) => fileComponent(`${ref}:${path}`, path, parseSha256(sha256))),
    ),
    properties: properties({
      "backend:source": source.kind,
      "backend:lock": source.lock,
      ...(source.toolRoot === undefined ? {} : { "backend:tool-root": source.toolRoot }),
      "backend:architecture": architectures,
      "backend:library": libraries,
    }),
  });
}

/**
 * The backends of one tree: every library of theirs must be there with the declared digest, and nothing else may lie in their folders.
 * @returns the component of each backend's file, by path
 * @throws SbomError SBOM_BACKEND_DIFFERS
 */
export function backendComponents(backends: readonly BackendEntry[], files: readonly RootFile[]): ReadonlyMap<string, Component> {
  const there = new Map(files.flatMap((file) => (file.type === "file" ? [[file.path, file.sha256] as const] : [])));
  const byPath = new Map<string, Component>();
  for (const backend of backends) {
    const component = backendComponent(backend);
    for (const { path, sha256 } of backend.files) {
      const actual = there.get(path);
      if (actual !== sha256) {
        const expected = `${path} of the backend ${backend.name} with sha256 ${sha256}`;
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
