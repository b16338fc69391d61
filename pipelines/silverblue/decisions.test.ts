import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { SilverblueError } from "./errors.ts";
import { identify } from "./identity.ts";
import { checkKernelArguments, kernelArgumentsFile } from "./kernel-arguments.ts";
import { diffTrees } from "./layer-diff.ts";
import { pathParts } from "./layer-tree.ts";
import { isLeftover } from "./normalise.ts";
import { buildPolicy, checkKey, checkPolicy } from "./policy.ts";
import { checkTransaction, nameArch, parseTransaction } from "./transaction.ts";
import type { Print } from "./tree-archive.ts";
import { checkUnits, parseUnits } from "./units.ts";

const REPOSITORY = "registry.example/os/appliance";
const code = (wanted: string) => expect.objectContaining({ code: wanted });

describe("kernel arguments", () => {
  const refused = [
    ["root=/dev/sda"],
    ["ostree=/x"],
    ["rw"],
    ["init=/bin/sh"],
    ["systemd.debug_shell=1"],
    ["selinux=0"],
    ["enforcing=0"],
    ["mitigations=off"],
    ["lockdown=none"],
    ["module.sig_enforce=0"],
    ["init_on_alloc=0"],
    ["iommu=off"],
    ["single"],
    ["1"],
    ["a b"],
    ['a="b"'],
    ["a\nb"],
    ["-a"],
    ["quiet", "quiet"],
    ["panic=1", "panic=2"],
    [""],
    ["a=$(x)"],
  ];
  for (const list of refused)
    test(`refuses ${JSON.stringify(list)}`, () =>
      expect(() => checkKernelArguments(list)).toThrow(code("KERNEL_ARGUMENT_REFUSED")));
  test("takes what the appliances boot with", () => {
    const list = [
      "console=tty0",
      "console=ttyS0",
      "slab_nomerge",
      "lockdown=confidentiality",
      "mitigations=auto,nosmt",
      "panic=10",
    ];
    expect(kernelArgumentsFile(list, "x86_64")).toContain('  "mitigations=auto,nosmt",\n');
    expect(() => kernelArgumentsFile(list, "x86")).toThrow(code("KERNEL_ARGUMENT_REFUSED"));
  });
});

describe("policy", () => {
  test("accepts what it builds, for one key and for several, in any spelling", () => {
    expect(checkPolicy(Buffer.from(buildPolicy(REPOSITORY, ["a.pub"])), REPOSITORY)).toEqual(["/etc/pki/containers/a.pub"]);
    const spelled = JSON.stringify(JSON.parse(buildPolicy(REPOSITORY, ["a.pub", "b.pub"])), null, 2);
    expect(checkPolicy(Buffer.from(spelled), REPOSITORY)).toHaveLength(2);
  });
  test("is total, and accepts nothing else", () =>
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(() => checkPolicy(Buffer.from(JSON.stringify(value)), REPOSITORY)).toThrow(SilverblueError);
      }),
    ));
  test("takes one public key, nothing beside it", () => {
    const block = (kind: string) => `-----BEGIN ${kind}-----\nAA==\n-----END ${kind}-----\n`;
    expect(() => checkKey("a", block("PUBLIC KEY"))).not.toThrow();
    for (const pem of [block("PRIVATE KEY"), block("PUBLIC KEY") + block("EC PRIVATE KEY"), block("CERTIFICATE"), ""])
      expect(() => checkKey("a", pem)).toThrow(code("POLICY_REFUSED"));
  });
});

describe("units", () => {
  const bytes = (value: object) => Buffer.from(JSON.stringify(value));
  test("a unit is on one list, once", () => {
    for (const [enabled, disabled] of [
      [["a.service"], ["a.service"]],
      [["a.service", "a.service"], []],
    ])
      expect(() => parseUnits(bytes({ schema: 1, enabled, disabled }))).toThrow(code("UNIT_STATE_DIFFERS"));
    expect(() => parseUnits(bytes({ schema: 1, enabled: ["../x.service"], disabled: [] }))).toThrow();
  });
  test("only what systemd calls enabled is on; static and alias are not", () => {
    for (const state of ["static", "alias", "indirect", "enabled-runtime", "disabled", ""])
      expect(() => checkUnits({ schema: 1, enabled: ["a.service"], disabled: [] }, () => state)).toThrow(
        code("UNIT_STATE_DIFFERS"),
      );
    for (const state of ["enabled", "static", "linked"])
      expect(() => checkUnits({ schema: 1, enabled: [], disabled: ["a.service"] }, () => state)).toThrow(
        code("UNIT_STATE_DIFFERS"),
      );
    expect(() => checkUnits({ schema: 1, enabled: [], disabled: ["a.service"] }, () => "not-found")).not.toThrow();
  });
});

describe("transaction", () => {
  const rpm = {
    name: "a-b",
    epoch: 1,
    version: "2",
    release: "3.fc42",
    arch: "x86_64",
    file: "a-b.rpm",
    size: 1,
    sha256: "00".repeat(32),
  };
  const transaction = { schema: 1, install: [rpm], remove: ["gone"], absentCommands: [] } as const;
  const check = (before: string[], after: string[]) => () =>
    checkTransaction(transaction, { before: new Set(before), after: new Set(after) });
  const a = "1:a-b-2-3.fc42.x86_64";

  test("names are what stands before version and release", () => expect(nameArch(a)).toBe("a-b.x86_64"));
  test("exactly the lock comes, exactly the named goes", () =>
    expect(check(["0:gone-1-1.noarch", "0:a-b-1-1.x86_64", "0:c-1-1.x86_64"], [a, "0:c-1-1.x86_64"])).not.toThrow());
  for (const [what, before, after] of [
    ["something else came", [], [a, "0:extra-1-1.noarch"]],
    ["the locked one did not come", [], []],
    ["another version of it came", [], ["0:a-b-2-3.fc42.x86_64"]],
    ["something else went", ["0:c-1-1.x86_64"], [a]],
    ["the other architecture of it went", ["0:a-b-1-1.i686"], [a]],
    ["one whose name only begins so went", ["0:gone-too-1-1.noarch"], [a]],
  ] as const)
    test(`refuses when ${what}`, () => expect(check([...before], [...after])).toThrow(code("TRANSACTION_DIFFERS")));

  test("is parsed or refused by name", () =>
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(() => parseTransaction(Buffer.from(JSON.stringify(value)))).toThrow(code("TRANSACTION_MALFORMED"));
      }),
    ));
});

describe("os-release", () => {
  const base =
    'NAME="Fedora Linux"\nID=fedora\n# a comment\n\nVERSION_ID=42\nVARIANT_ID=silverblue\nPRETTY_NAME="x"\nCPE_NAME="cpe:/o:fedoraproject:fedora:42"\n';
  test("keeps what packages look at, and says whose image it is", () =>
    expect(identify(base, "secai-os", "1.0").split("\n")).toEqual([
      'NAME="Fedora Linux"',
      "ID=fedora",
      "VERSION_ID=42",
      'CPE_NAME="cpe:/o:fedoraproject:fedora:42"',
      'PRETTY_NAME="SecAI OS 1.0 (Fedora Linux 42)"',
      'VARIANT="SecAI OS"',
      "VARIANT_ID=secai",
      "IMAGE_ID=secai-os",
      "IMAGE_VERSION=1.0",
      "",
    ]));
  for (const text of ["ID=fedora\n", `${base}X=$(id)\n`, `${base}rm -rf\n`, `${base}X="a\\"b"\n`])
    test(`refuses ${JSON.stringify(text.slice(-12))}`, () => expect(() => identify(text, "i", "1")).toThrow(code("LINT_FAILED")));
});

describe("layers", () => {
  const tree = (paths: Readonly<Record<string, string>>): ReadonlyMap<string, Print> =>
    new Map(Object.entries(paths).map(([path, digest]) => [path, { type: digest === "d" ? "directory" : "file", digest }]));
  const before = tree({ "": "d", etc: "d", "etc/a": "1", "etc/b": "1", usr: "d", "usr/x": "d", "usr/x/y": "1" });

  test("hold what changed with the folders above it, and a whiteout for the topmost of what went", () => {
    const { changed, whiteouts } = diffTrees(before, tree({ "": "d", etc: "d", "etc/a": "2", usr: "d", "usr/new": "1" }));
    expect([...changed].sort()).toEqual(["etc", "etc/a", "usr", "usr/new"]);
    expect(Object.fromEntries(whiteouts)).toEqual({ etc: ["b"], usr: ["x"] });
  });
  test("a folder that became a file needs no whiteouts below it", () => {
    const { changed, whiteouts } = diffTrees(
      before,
      tree({ "": "d", etc: "d", "etc/a": "1", "etc/b": "1", usr: "d", "usr/x": "2" }),
    );
    expect([...changed].sort()).toEqual(["usr", "usr/x"]);
    expect(whiteouts.size).toBe(0);
  });
  test("the same tree gives an empty layer", () =>
    expect(diffTrees(before, before)).toMatchObject({ changed: new Set(), whiteouts: new Map() }));
  test("left-overs are known by where they lie; what ships is not among them", () => {
    for (const path of ["var/cache/x", "tmp/x", "a.rpm", "usr/src/x/main.c", "x/.git/config", "etc/a.rpmnew"])
      expect(isLeftover(path), path).toBe(true);
    for (const path of [
      "usr/share/rpm/rpmdb.sqlite",
      "etc/x.conf",
      "usr/lib/modules/1/vmlinuz",
      "usr/share/cache/x",
      "usr/src/kernels/1/Makefile",
    ])
      expect(isLeftover(path), path).toBe(false);
  });
  test("a path is parts below the root, or refused", () =>
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (path) => {
        try {
          const parts = pathParts(path);
          expect(parts.every((part) => part !== ".." && part !== "." && part !== "" && !part.includes("/"))).toBe(true);
        } catch (error) {
          expect(error).toBeInstanceOf(SilverblueError);
        }
      }),
    ));
});
