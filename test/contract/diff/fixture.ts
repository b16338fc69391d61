import { type BaselineFacts, baselineBytes, buildBaseline } from "@secai/formats/baseline";
import { canonicalJson } from "@secai/formats/canonical-json";
import { sha256 } from "@secai/formats/digest";
import { baselineFacts, ENGINE } from "../release/contents.ts";
import { type FixtureChanges, factsOf } from "../release/fixture.ts";

const owner = { uid: 0, gid: 0 } as const;
export const file = (path: string, content: string, mode = "0644") =>
  ({ path, type: "file", mode, ...owner, sha256: sha256(content), size: content.length }) as const;

export const firewallPath = "/etc/nftables.conf";
export const unitPath = (name: string) => `/usr/lib/systemd/system/${name}`;
export const unit = (name: string, enabled: boolean) => ({ name, sha256: sha256(name), enabled });
export const debian = (name: string, version: string) => ({ name, version, architecture: "amd64" });

/** The fixture's sealed root with more in it; `change` is what another release of it has instead. */
export function rootFacts(change: Partial<BaselineFacts> = {}): BaselineFacts {
  const base = baselineFacts(
    sha256("root"),
    ["quiet", "lockdown=confidentiality", "console=tty0", "console=ttyS0"],
    sha256(ENGINE),
  );
  return {
    ...base,
    files: [
      ...base.files,
      file("/usr/bin/tool", "tool"),
      ...["a.service", "b.service"].map((name) => file(unitPath(name), name)),
    ],
    units: [unit("a.service", true), unit("b.service", false)],
    sysctl: { "kernel.sysrq": "0", "net.ipv4.ip_forward": "0" },
    packages: [debian("bash", "1.0-1"), debian("nftables", "1.0-1")],
    ...change,
  };
}

/** The documents of a release over such a root, which agree with each other; `libraries` are in the SBOM besides its packages. */
export function releaseOver(facts: BaselineFacts, libraries: Readonly<Record<string, string>>): FixtureChanges {
  const baseline = buildBaseline(facts);
  const packages = facts.packages.map(({ name, version, architecture }) => ({
    "bom-ref": `deb:${name}`,
    type: "library",
    name,
    version,
    purl: `pkg:deb/debian/${name}@${version}?arch=${architecture}&distro=debian-13`,
    hashes: [{ alg: "SHA-256", content: sha256(`${name} ${version}`) }],
  }));
  const others = Object.entries(libraries).map(([name, version]) => ({ type: "library", name, version }));
  const sbom = {
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    version: 1,
    metadata: { component: { "bom-ref": "image", type: "operating-system", name: "secai-os", version: "0.1.0" } },
    components: [...packages, ...others],
  };
  return {
    files: {
      "baseline.json": { content: baselineBytes(baseline) },
      "sbom/image.cdx.json": { content: canonicalJson(sbom) },
      "sbom/image.cdx.xml": { content: xmlOf(packages, others) },
    },
    facts: {
      dependencies: [
        ...factsOf().dependencies,
        ...packages.map(({ name, version }) => ({
          name,
          uri: `pkg:deb/debian/${name}@${version}`,
          digest: { sha256: sha256(`${name} ${version}`) },
        })),
      ],
    },
    measurements: { commandLine: baseline.commandLine },
  };
}

interface Package {
  readonly name: string;
  readonly version: string;
  readonly purl: string;
  readonly hashes: readonly { readonly content: string }[];
}

function xmlOf(packages: readonly Package[], others: readonly { readonly name: string; readonly version: string }[]): string {
  const text = (value: string) => value.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  const debs = packages.map(
    ({ name, version, purl, hashes }) =>
      `<component type="library" bom-ref="deb:${name}"><name>${name}</name><version>${version}</version><hashes><hash alg="SHA-256">${hashes[0]?.content}</hash></hashes><purl>${text(purl)}</purl></component>`,
  );
  const libraries = others.map(
    ({ name, version }) => `<component type="library"><name>${text(name)}</name><version>${text(version)}</version></component>`,
  );
  return `<?xml version="1.0" encoding="UTF-8"?>
<bom xmlns="http://cyclonedx.org/schema/bom/1.6" version="1">
<metadata><component type="operating-system" bom-ref="image"><name>secai-os</name><version>0.1.0</version></component></metadata>
<components>${[...debs, ...libraries].join("\n")}</components>
</bom>
`;
}
