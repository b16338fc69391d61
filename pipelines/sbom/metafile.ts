import { SbomError } from "./errors.ts";

/** One file that esbuild put into a bundle, by whom it belongs to. */
export interface BundledFile {
  /** As the metafile names it. */
  readonly input: string;
  /** Folder of its npm package below the modules folder, e.g. "node_modules/@a/b", or of our workspace, e.g. "attest/formats". */
  readonly folder: string;
  readonly kind: "npm" | "workspace";
  /** Path of the file below `folder`. */
  readonly path: string;
}

const workspaceFolders = /^(?:attest|services-src)\/[^/]+|^(?:pipelines|release|image)(?=\/)/;

function locate(input: string): Omit<BundledFile, "input"> | undefined {
  const parts = input.split("/").filter((part) => part !== "..");
  const last = parts.lastIndexOf("node_modules");
  // The folder above the outermost node_modules is where the bundler's sources lay; a workspace may have a node_modules of its own.
  const starts = parts.flatMap((part, index) =>
    ["node_modules", "attest", "services-src", "pipelines", "release", "image"].includes(part) ? [index] : [],
  );
  const start = starts[0];
  if (start === undefined) return undefined;
  if (last >= start) {
    const end = last + (parts[last + 1]?.startsWith("@") === true ? 3 : 2);
    if (parts.length <= end) return undefined;
    return { kind: "npm", folder: parts.slice(start, end).join("/"), path: parts.slice(end).join("/") };
  }
  const relative = parts.slice(start).join("/");
  const folder = workspaceFolders.exec(relative)?.[0];
  if (folder === undefined || relative.length <= folder.length + 1) return undefined;
  return { kind: "workspace", folder, path: relative.slice(folder.length + 1) };
}

/**
 * The files really inside the one JavaScript output of an esbuild metafile: those that contributed bytes (tree shaking drops the rest).
 * @throws SbomError SBOM_INPUT_MALFORMED, SBOM_BUNDLE_INPUT_UNKNOWN
 */
export function bundledFiles(metafileJson: string): readonly BundledFile[] {
  let outputs: readonly unknown[];
  try {
    outputs = Object.entries(Object(Object(JSON.parse(metafileJson)).outputs)).flatMap(([name, output]) =>
      name.endsWith(".map") ? [] : [output],
    );
  } catch (cause) {
    throw new SbomError("SBOM_INPUT_MALFORMED", { expected: "an esbuild metafile", actual: "no JSON", cause });
  }
  const inputs = Object.entries(Object(Object(outputs[0]).inputs));
  if (outputs.length !== 1 || inputs.length === 0) {
    throw new SbomError("SBOM_INPUT_MALFORMED", {
      expected: "one output with inputs",
      actual: `${outputs.length} outputs, ${inputs.length} inputs`,
    });
  }
  const inside = inputs.filter(([, value]) => Object(value).bytesInOutput > 0).map(([input]) => input);
  return inside.sort().map((input) => {
    const found = locate(input);
    if (found === undefined)
      throw new SbomError("SBOM_BUNDLE_INPUT_UNKNOWN", { expected: "a file of a package or workspace", actual: input });
    return { input, ...found };
  });
}

/** Which package imports which, by folder, from the same metafile. Imports of the platform are left out. */
export function bundledImports(metafileJson: string): ReadonlyMap<string, ReadonlySet<string>> {
  const edges = new Map<string, Set<string>>();
  for (const [input, value] of Object.entries(Object(Object(JSON.parse(metafileJson)).inputs))) {
    const from = locate(input)?.folder;
    const imports: unknown = Object(value).imports;
    if (from === undefined || !Array.isArray(imports)) continue;
    for (const { path } of imports as readonly { readonly path: string }[]) {
      const to = locate(path)?.folder;
      if (to !== undefined && to !== from) edges.set(from, (edges.get(from) ?? new Set()).add(to));
    }
  }
  return edges;
}
