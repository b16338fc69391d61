import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { sha256 } from "@secai/formats/digest";
import { runTool } from "@secai/pipelines/run-tool";

export interface TestPackage {
  readonly name: string;
  readonly version: string;
  readonly essential?: boolean;
  readonly depends?: string;
  /** "all" when absent. */
  readonly architecture?: string;
}

export interface TestKey {
  readonly home: string;
  /** Public half, as gpgv reads it. */
  readonly keyring: string;
  readonly fingerprint: string;
}

async function must(command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<string> {
  const { status, stdout, stderr } = await runTool(command, args, env);
  if (status !== 0) throw new Error(`${command} ${args.join(" ")}: ${stderr}`);
  return stdout;
}

/** A throwaway signing key in `directory`. */
export async function createKey(directory: string, name: string): Promise<TestKey> {
  const home = join(directory, name);
  await mkdir(home, { mode: 0o700 });
  const gpg = ["--homedir", home, "--batch", "--quiet"];
  await must("gpg", [
    ...gpg,
    "--passphrase",
    "",
    "--quick-generate-key",
    `${name} <${name}@test.invalid>`,
    "ed25519",
    "sign",
    "never",
  ]);
  const keyring = join(directory, `${name}.gpg`);
  await must("gpg", [...gpg, "--output", keyring, "--export"]);
  const listing = await must("gpg", [...gpg, "--with-colons", "--list-keys"]);
  const fingerprint = /^fpr:{9}([0-9A-F]{40}):/m.exec(listing)?.[1] ?? "";
  return { home, keyring, fingerprint };
}

/** Ends the agent that gpg started for a key. */
export async function retireKey({ home }: TestKey): Promise<void> {
  await runTool("gpgconf", ["--homedir", home, "--kill", "all"]);
}

async function buildPackage(
  directory: string,
  spec: TestPackage,
): Promise<{ readonly path: string; readonly bytes: Buffer; readonly control: string }> {
  const { name, version, essential, depends, architecture = "all" } = spec;
  const control = [
    `Package: ${name}`,
    `Version: ${version}`,
    `Architecture: ${architecture}`,
    "Maintainer: Test <test@test.invalid>",
    ...(essential === true ? ["Essential: yes"] : []),
    ...(depends === undefined ? [] : [`Depends: ${depends}`]),
    `Description: test package ${name}`,
  ].join("\n");
  const tree = join(directory, `${name}-${architecture}-tree`);
  await mkdir(join(tree, "DEBIAN"), { recursive: true });
  await mkdir(join(tree, "usr/share", name), { recursive: true });
  await writeFile(join(tree, "DEBIAN/control"), `${control}\n`);
  await writeFile(join(tree, "usr/share", name, "content"), `${name} ${version}\n`.repeat(400));
  const file = `${tree}.deb`;
  await must("dpkg-deb", ["--root-owner-group", "-Znone", "--build", tree, file], { SOURCE_DATE_EPOCH: "1700000000" });
  const bytes = await readFile(file);
  await rm(tree, { recursive: true });
  return { path: `pool/main/${name}/${name}_${version.replace(/^[0-9]+:/, "")}_${architecture}.deb`, bytes, control };
}

export interface ArchiveSpec {
  readonly suite: string;
  readonly packages: readonly TestPackage[];
  readonly key: TestKey;
  /** Those with an index; amd64 alone when absent. */
  readonly architectures?: readonly string[];
  readonly date?: Date;
  readonly validUntil?: Date;
}

function releaseText(
  { suite, date = new Date(), validUntil, architectures = ["amd64"] }: ArchiveSpec,
  files: ReadonlyMap<string, Uint8Array>,
): string {
  const lines = [...files].map(([path, bytes]) => ` ${sha256(bytes)} ${bytes.length} ${path}`);
  return [
    "Origin: Test",
    `Suite: ${suite}`,
    `Codename: ${suite}`,
    `Date: ${date.toUTCString().replace("GMT", "UTC")}`,
    ...(validUntil === undefined ? [] : [`Valid-Until: ${validUntil.toUTCString().replace("GMT", "UTC")}`]),
    `Architectures: ${architectures.join(" ")}`,
    "Components: main",
    "SHA256:",
    ...lines,
    "",
  ].join("\n");
}

/** Signs `text` as an archive does. */
export async function clearSign(directory: string, text: string, { home }: TestKey): Promise<Buffer> {
  const input = join(directory, "Release");
  await writeFile(input, text);
  await rm(`${input}.asc`, { force: true });
  await must("gpg", ["--homedir", home, "--batch", "--quiet", "--clearsign", "--output", `${input}.asc`, input]);
  return readFile(`${input}.asc`);
}

/** A whole, really signed archive: every file by its path below the root. */
export async function buildArchive(directory: string, spec: ArchiveSpec): Promise<Map<string, Uint8Array>> {
  const files = new Map<string, Uint8Array>();
  const stanzas: { readonly architecture: string; readonly text: string }[] = [];
  for (const one of spec.packages) {
    const { path, bytes, control } = await buildPackage(directory, one);
    files.set(path, bytes);
    const text = `${control}\nFilename: ${path}\nSize: ${bytes.length}\nSHA256: ${sha256(bytes)}\n`;
    stanzas.push({ architecture: one.architecture ?? "all", text });
  }
  const listed = new Map<string, Uint8Array>();
  for (const name of spec.architectures ?? ["amd64"]) {
    const own = stanzas.filter(({ architecture }) => architecture === "all" || architecture === name);
    const index = Buffer.from(own.map(({ text }) => text).join("\n"));
    listed.set(`main/binary-${name}/Packages`, index);
    listed.set(`main/binary-${name}/Packages.gz`, gzipSync(index));
  }
  const folder = `dists/${spec.suite}`;
  for (const [path, bytes] of listed) files.set(`${folder}/${path}`, bytes);
  files.set(`${folder}/InRelease`, await clearSign(directory, releaseText(spec, listed), spec.key));
  return files;
}
