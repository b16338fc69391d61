import { generateKeyPairSync } from "node:crypto";
import { lstatSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { zstdDecompressSync } from "node:zlib";
import { Version } from "@cyclonedx/cyclonedx-library/Spec";
import { JsonStrictValidator } from "@cyclonedx/cyclonedx-library/Validation";
import { afterAll, beforeAll, expect, test } from "vitest";
import { sha256 } from "../../../attest/formats/digest.ts";
import type { RunResult } from "../../../pipelines/engine/engine.ts";
import { outputOf } from "../../../pipelines/steps/exec.ts";
import { makeBase } from "./base.ts";
import { Bench, EPOCH } from "./bench.ts";
import { type Chain, openChain, REVISION } from "./chain.ts";
import { makeModuleImage } from "./module-image.ts";
import { addedPackages, buildRpms, KERNEL } from "./rpms.ts";

// The plan of the production recipe, every step of it but the disk images, run by the local engine over a small base.
let bench: Bench;
let chain: Chain;
let result: RunResult;
beforeAll(async () => {
  bench = await Bench.open();
  const modules = makeModuleImage(bench, "modules-image");
  const base = { name: "base", folder: "image", digest: makeBase(bench, "image", modules.certificate) };
  buildRpms(bench, "rpms", addedPackages);
  const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  bench.write("release.pub", publicKey.export({ type: "spki", format: "pem" }) as string);
  chain = await openChain(bench, [base, modules.image, { ...base, name: "imageBuilder" }], "rpms");
  result = await chain.run();
});
afterAll(() => bench.remove());

const at = (step: string, output: string, ...path: string[]) => join(result.pathOf(outputOf(step, output)), ...path);
const read = (...path: Parameters<typeof at>) => readFileSync(at(...path), "utf8");
const json = (...path: Parameters<typeof at>) => JSON.parse(read(...path));

test("the units that the recipe names are on and off, and the escaped mount unit is enabled by its very link", () => {
  const wants = at("tree", "tree", "etc/systemd/system/multi-user.target.wants");
  expect(readdirSync(wants)).toEqual(
    expect.arrayContaining(["added.service", "run-secure\\x2dai-tmp.mount", "secure-ai-policy-engine.service"]),
  );
  expect(readdirSync(wants)).not.toContain("sshd.service");
});

test("the tree is ours: identity, policy, kernel arguments, modules and their index", () => {
  const release = read("tree", "tree", "usr/lib/os-release");
  expect(release).toMatch(/^ID=fedora$/m);
  expect(release).toMatch(/^VARIANT_ID=secai$/m);
  expect(release).toMatch(/^IMAGE_VERSION=0\.1\.0$/m);
  expect(json("tree", "tree", "etc/containers/policy.json").default).toEqual([{ type: "reject" }]);
  expect(read("tree", "tree", "usr/lib/bootc/kargs.d/10-secai.toml")).toContain('"lockdown=confidentiality"');
  expect(read("tree", "tree", `usr/lib/modules/${KERNEL}/modules.dep`)).toContain("extra/third/third.ko.xz");
  expect(json("tree", "report")).toMatchObject({
    kernel: KERNEL,
    keys: ["/etc/pki/containers/release.pub"],
    kernelArguments: ["10-secai.toml"],
  });
});

test("lint says that only we read the rules, and finds nothing fatal", () => {
  const report = json("lint", "report");
  expect(report.ranBy).toEqual(["secai"]);
  expect(report.findings.filter(({ level }: { level: string }) => level === "fatal")).toEqual([]);
});

test("the image is the base's layers byte for byte, what packages changed, and what is ours; skopeo reads it", () => {
  const layers = json("image", "report");
  expect(layers.base.map(({ digest }: { digest: string }) => digest)).toEqual(
    json("base", "facts").layers.map(({ digest }: { digest: string }) => digest),
  );
  expect(layers.layers.map(({ comment }: { comment: string }) => comment)).toEqual([
    "packages of the recipe",
    "files, settings and services of the appliance",
  ]);
  const layout = at("image", "layout");
  expect(JSON.parse(bench.tools(`skopeo inspect oci:${layout}:0.1.0`)).Labels["containers.bootc"]).toBe("1");
  bench.tools(`skopeo copy --quiet --insecure-policy oci:${layout}:0.1.0 dir:copied`);
});

test("labels say revision, instant and version, and that it is a bootable container", () => {
  const manifest = manifestOf();
  expect(manifest.annotations).toMatchObject({
    "org.opencontainers.image.revision": REVISION,
    "org.opencontainers.image.created": new Date(EPOCH * 1000).toISOString().replace(".000Z", "Z"),
    "org.opencontainers.image.version": "0.1.0",
    "containers.bootc": "1",
    "ostree.bootable": "true",
    "ostree.commit": "ab".repeat(32),
  });
  expect(manifest.annotations["org.opencontainers.image.title"]).not.toBe("somebody else's");
});

const blob = (digest: string) => readFileSync(at("image", "layout", "blobs/sha256", digest.slice(7)));
function manifestOf() {
  const [entry] = json("image", "layout", "index.json").manifests;
  return JSON.parse(blob(entry.digest).toString());
}

test("layers of ours hold one time, whiteouts for what went, and no left-overs", () => {
  const [packages, ours] = manifestOf().layers.slice(-2);
  const names = (layer: { digest: string }) => {
    bench.write("layer.tar", zstdDecompressSync(blob(layer.digest)));
    const listed = bench.tools("tar --full-time --utc -tvf layer.tar").trim().split("\n");
    expect(new Set(listed.map((line) => line.split(/\s+/).slice(3, 5).join("T")))).toEqual(
      new Set([new Date(EPOCH * 1000).toISOString().slice(0, 19)]),
    );
    return listed.map((line) => line.split(/\s+/)[5]);
  };
  expect(names(packages)).toEqual(
    expect.arrayContaining(["usr/bin/.wh.git", "usr/bin/added", "etc/added.conf", "usr/share/rpm/rpmdb.sqlite"]),
  );
  expect(names(packages).filter((name) => /cache|\.rpm$|scratch/.test(name ?? ""))).toEqual([]);
  expect(names(ours)).toEqual(expect.arrayContaining(["etc/containers/policy.json", "usr/lib/secure-ai/services.json"]));
  expect(names(ours)).not.toContain("usr/bin/added");
});

test("unpacked again, the image is the tree", () => {
  const [entry] = json("image", "layout", "index.json").manifests;
  bench.tools(`mkdir again-image`);
  for (const name of readdirSync(at("image", "layout", "blobs/sha256")))
    bench.write(`again-image/${name}`, blob(`sha256:${name}`));
  bench.run("base", {
    image: "./again-image",
    digest: entry.digest,
    platform: "linux/amd64",
    out: "./again",
    facts: "./again.json",
  });
  expect(sha256(JSON.stringify(listOf(bench.at("again"))))).toBe(sha256(JSON.stringify(listOf(at("tree", "tree")))));
});

/** Names, modes, owners, contents and targets of a tree. */
function listOf(root: string, folder = ""): readonly unknown[] {
  return readdirSync(join(root, folder))
    .sort()
    .flatMap((name): readonly unknown[] => {
      const path = `${folder}/${name}`;
      const stat = lstatSync(join(root, path));
      const head = [path, stat.mode, stat.uid, stat.gid];
      if (stat.isDirectory()) return [head, ...listOf(root, path)];
      return [stat.isFile() ? [...head, sha256(readFileSync(join(root, path)))] : head];
    });
}

test("the SBOM is valid and comes from the image's own package database", async () => {
  const text = read("sbom.image", "sbom");
  expect(await new JsonStrictValidator(Version.v1dot6).validate(text)).toBeNull();
  const { components } = JSON.parse(text);
  const names = components.map(({ name }: { name: string }) => name);
  expect(names).toEqual(expect.arrayContaining(["added", "library", "kernel-core", "base-system"]));
  expect(names).not.toContain("git-core");
  expect(components.find(({ name }: { name: string }) => name === "added").purl).toBe(
    "pkg:rpm/fedora/added@1.0-1.fc42?arch=x86_64&distro=fedora-42&epoch=2&upstream=added-1.0-1.fc42.src.rpm",
  );
});

test("a second build gives the same bytes", async () => {
  const first = new Map(result.records.map(({ id, outputs }) => [id, outputs]));
  chain.forget(result);
  result = await chain.run();
  const ran = result.records.filter(({ cached, id }) => !cached && !id.startsWith("fetch."));
  expect(ran.map(({ id }) => id)).toContain("packages");
  for (const { id, outputs } of result.records) expect(outputs, id).toEqual(first.get(id));
});
