import type { ExecStep, Input } from "../step.ts";
import { file, outputOf, programStep } from "./exec.ts";
import { toolRoot } from "./root.ts";

export interface BundleInputs {
  /** Name of the bundle, e.g. "policy-engine". */
  readonly name: string;
  /** Repository path of the entry file. */
  readonly entry: string;
  /** Repository folders whose code may be in it, by package name. */
  readonly workspaces: Readonly<Record<string, string>>;
  /** Repository paths of the npm packages it may use, e.g. "node_modules/yaml". */
  readonly modules: readonly string[];
  readonly sourceDateEpoch: number;
}

/** One ESM file for the appliance's Node 20, and esbuild's account of what went into it. */
export function bundleStep({ name, entry, workspaces, modules, sourceDateEpoch }: BundleInputs): ExecStep {
  const esbuild = `node_modules/@esbuild/linux-${process.arch}/bin/esbuild`;
  const alias = Object.entries(workspaces).map(([pkg, folder]) => `--alias:${pkg}=/src/${folder}`);
  const sources = [...Object.values(workspaces), ...modules].map((path): [string, Input] => [
    `/src/${path}`,
    { kind: "source", path },
  ]);
  return {
    kind: "exec",
    id: `bundle.${name}`,
    title: `bundle ${name}`,
    tools: toolRoot,
    network: "none",
    privileges: "none",
    inputs: { "/in/esbuild": { kind: "source", path: esbuild }, ...Object.fromEntries(sources) },
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

export interface ServiceSbomInputs {
  readonly name: string;
  readonly version: string;
  readonly workspaces: Readonly<Record<string, string>>;
  readonly modules: readonly string[];
  readonly sourceDateEpoch: number;
}

/** A CycloneDX document of exactly what is inside one bundle. */
export function serviceSbomStep({ name, version, workspaces, modules, sourceDateEpoch }: ServiceSbomInputs): ExecStep {
  const sources = [...Object.values(workspaces), ...modules].map((path): [string, Input] => [
    `/src/${path}`,
    { kind: "source", path },
  ]);
  return programStep({
    id: `sbom.${name}`,
    title: `SBOM of ${name}`,
    program: "sbom-service",
    tools: toolRoot,
    inputs: {
      "/in/bundle.mjs": outputOf(`bundle.${name}`, "bundle"),
      "/in/metafile.json": outputOf(`bundle.${name}`, "metafile"),
      ...Object.fromEntries(sources),
    },
    flags: { metafile: "/in/metafile.json", modules: "/src", bundle: "/in/bundle.mjs", name, version, out: "/out/sbom.cdx.json" },
    outputs: { sbom: file("/out/sbom.cdx.json") },
    sourceDateEpoch,
  });
}
