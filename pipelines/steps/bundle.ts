import type { ExecStep, Input } from "../step.ts";
import { file, outputOf, programStep } from "./exec.ts";
import { toolRoot } from "./root.ts";

interface BundledCode {
  /** Name of the bundle, e.g. "policy-engine". */
  readonly name: string;
  /** Repository folders whose code may be in it, by package name. */
  readonly workspaces: Readonly<Record<string, string>>;
  /** Repository paths of the npm packages it may use, e.g. "node_modules/yaml". */
  readonly modules: readonly string[];
  readonly sourceDateEpoch: number;
}

const sourcesOf = ({ workspaces, modules }: BundledCode): Record<string, Input> =>
  Object.fromEntries([...Object.values(workspaces), ...modules].map((path) => [`/src/${path}`, { kind: "source", path }]));

export interface BundleInputs extends BundledCode {
  /** Repository path of the entry file. */
  readonly entry: string;
}

/** One ESM file for the appliance's Node 20, and esbuild's account of what went into it. */
export function bundleStep(code: BundleInputs): ExecStep {
  const { name, entry, workspaces, sourceDateEpoch } = code;
  const esbuild = `node_modules/@esbuild/linux-${process.arch}/bin/esbuild`;
  const alias = Object.entries(workspaces).map(([pkg, folder]) => `--alias:${pkg}=/src/${folder}`);
  return {
    kind: "exec",
    id: `bundle.${name}`,
    title: `bundle ${name}`,
    tools: toolRoot,
    network: "none",
    privileges: "none",
    inputs: { "/in/esbuild": { kind: "source", path: esbuild }, ...sourcesOf(code) },
    secrets: {},
    env: { SOURCE_DATE_EPOCH: String(sourceDateEpoch) },
    run: [
      "/in/esbuild",
      `/src/${entry}`,
      "--bundle",
      "--platform=node",
      "--format=esm",
      "--target=node20",
      "--legal-comments=none",
      "--log-level=warning",
      // CommonJS packages inside an ESM file ask for `require`.
      '--banner:js=import{createRequire as __createRequire}from"node:module";const require=__createRequire("file:///usr/lib/secure-ai/");',
      ...alias,
      "--metafile=/out/metafile.json",
      "--outfile=/out/bundle.mjs",
    ],
    outputs: { bundle: file("/out/bundle.mjs"), metafile: file("/out/metafile.json") },
  };
}

export interface ServiceSbomInputs extends BundledCode {
  /** Of the image. */
  readonly version: string;
}

/** A CycloneDX document of exactly what is inside one bundle. */
export function serviceSbomStep(code: ServiceSbomInputs): ExecStep {
  const { name, version, sourceDateEpoch } = code;
  return programStep({
    id: `sbom.${name}`,
    title: `SBOM of ${name}`,
    program: "sbom-service",
    tools: toolRoot,
    inputs: {
      "/in/bundle.mjs": outputOf(`bundle.${name}`, "bundle"),
      "/in/metafile.json": outputOf(`bundle.${name}`, "metafile"),
      ...sourcesOf(code),
    },
    flags: { metafile: "/in/metafile.json", modules: "/src", bundle: "/in/bundle.mjs", name, version, out: "/out/sbom.cdx.json" },
    outputs: { sbom: file("/out/sbom.cdx.json") },
    sourceDateEpoch,
  });
}
