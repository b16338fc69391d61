import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { sha256 } from "@secai/formats/digest";
import { type BackendRecord, backendRecordBytes } from "@secai/formats/gpu-backends";
import { parseElf } from "./elf.ts";

/** Beside the libraries of a backend: what its step says of it. */
export const RECORD_FILE = "backend.json";

/** Where libraries lie in the running system: the runtime's in the sealed root, a backend's mostly in an extension. */
export const RUNTIME_FOLDER = "/usr/lib/secure-ai/runtime";
export const BACKENDS_FOLDER = "/usr/lib/secure-ai/backends";
export const backendFolder = (name: string): string => `${BACKENDS_FOLDER}/${name}`;

/** Libraries of the runtime itself; all that a backend needs beside them comes from packages. */
const isOfRuntime = (soname: string): boolean => /^lib(ggml|llama)([.-][A-Za-z0-9._-]*)?\.so(\.[0-9.]+)?$/.test(soname);

/** What libraries need from outside the runtime, sorted, each once. @throws BackendError ELF_MALFORMED */
export function outsideLibraries(libraries: readonly Uint8Array[]): readonly string[] {
  const needed = libraries.flatMap((bytes) => parseElf(bytes).needed).filter((soname) => !isOfRuntime(soname));
  return [...new Set(needed)].sort();
}

export interface DescribedBackend {
  readonly name: BackendRecord["name"];
  /** Of its ggml. */
  readonly version: string;
  /** Names of its libraries in `directory`. */
  readonly libraries: readonly string[];
  /** Where they go in the image. */
  readonly folder: string;
  readonly source: BackendRecord["source"];
  readonly architectures: readonly string[];
  readonly licences: readonly string[];
  /** Libraries that it opens by name, which no table in its files lists. */
  readonly opened?: readonly string[];
}

/**
 * Writes backend.json beside the libraries that it is about.
 * @throws BackendError ELF_MALFORMED; FormatError for what no reader of backend.json would accept
 */
export function writeRecord(directory: string, backend: DescribedBackend): BackendRecord {
  const { name, version, folder, source, architectures, licences, opened = [] } = backend;
  const libraries = backend.libraries.toSorted().map((file) => ({ file, bytes: readFileSync(join(directory, file)) }));
  const needed = outsideLibraries(libraries.map(({ bytes }) => bytes));
  const record: BackendRecord = {
    name,
    version,
    files: libraries.map(({ file, bytes }) => ({ path: `${folder}/${file}`, sha256: sha256(bytes), size: bytes.length })),
    source,
    architectures,
    licences,
    libraries: [...new Set([...needed, ...opened])].sort(),
  };
  writeFileSync(join(directory, RECORD_FILE), backendRecordBytes(record));
  return record;
}
