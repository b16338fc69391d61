import { generateKeyPairSync } from "node:crypto";
import { cpSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { imagePrograms } from "../../../pipelines/plan.ts";
import { containerPrograms } from "../../../pipelines/plan-silverblue.ts";
import { top } from "../../../scripts/house/tree.ts";
import { makeBase, PLATFORM } from "./base.ts";
import { Bench } from "./bench.ts";
import { lockedEntries } from "./repository.ts";
import { addedPackages, buildRpms, KERNEL } from "./rpms.ts";

const REPOSITORY = "registry.example/os/appliance";
let bench: Bench;
let digest: string;
beforeAll(async () => {
  bench = await Bench.open();
  digest = makeBase(bench, "image");
  bench.run("base", { image: "./image", digest, platform: PLATFORM, out: "./base", facts: "./base.json" });
  buildRpms(bench, "rpms", addedPackages);
  const transaction = { schema: 1, install: lockedEntries(bench, "rpms"), remove: ["git-core"], absentCommands: ["git"] };
  bench.write("transaction.json", JSON.stringify(transaction));
  const flags = { root: "./base", rpms: "./rpms", transaction: "./transaction.json" };
  bench.run("packages", { ...flags, out: "./packages", report: "./packages.json" });
  const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  bench.write("release.pub", publicKey.export({ type: "spki", format: "pem" }) as string);
  bench.run("policy", { repository: REPOSITORY, key: "./release.pub", out: "./policy" });
  const list = "slab_nomerge lockdown=confidentiality console=tty0 console=ttyS0";
  bench.run("kernel-arguments", { arguments: list, architecture: "x86_64", out: "./arguments" });
  for (const name of ["common", "silverblue"]) cpSync(join(top, "image", name), bench.at(name), { recursive: true });
  bench.write("services/policy-engine.mjs", "export {};\n");
  for (const name of Object.keys({ ...imagePrograms, ...containerPrograms })) bench.write(`programs/${name}.mjs`, "export {};\n");
});
afterAll(() => bench.remove());

interface Edit {
  /** Files of one more overlay, by path. */
  readonly overlay?: Readonly<Record<string, string>>;
  readonly units?: { readonly enabled: readonly string[]; readonly disabled: readonly string[] };
  readonly root?: string;
  readonly leave?: string;
}

const units = {
  enabled: ["nftables.service", "run-secure\\x2dai-tmp.mount"],
  disabled: ["sshd.service", "not-installed.service"],
};

function flagsOf(name: string, { overlay = {}, root = "./packages", leave, ...more }: Edit): Record<string, string> {
  mkdirSync(bench.at(`${name}-overlay`), { recursive: true });
  for (const [path, content] of Object.entries(overlay)) bench.write(`${name}-overlay/${path}`, content);
  bench.write(`${name}-units.json`, JSON.stringify({ schema: 1, ...(more.units ?? units) }));
  const overlays = ["./common", "./silverblue", "./policy", "./arguments", `./${name}-overlay`].filter((one) => one !== leave);
  return {
    ...{ root, overlays: overlays.join(","), services: "./services", programs: "./programs", units: `./${name}-units.json` },
    ...{ repository: REPOSITORY, "image-id": "secai-os", version: "1.2.3", out: `./${name}`, rpmdb: `./${name}-rpmdb` },
    report: `./${name}.json`,
  };
}

test("the appliance's tree", () => {
  bench.run("tree", flagsOf("good", {}));
  expect(bench.json("good.json")).toMatchObject({ kernel: KERNEL, keys: ["/etc/pki/containers/release.pub"] });
  expect(bench.tools("ls -l good/etc/systemd/system/multi-user.target.wants")).toContain(
    "run-secure\\x2dai-tmp.mount -> /usr/lib/systemd/system/run-secure\\x2dai-tmp.mount",
  );
  expect(bench.tools("systemctl --root=$PWD/good is-enabled sshd.service || true")).toBe("disabled\n");
  expect(bench.json("good/usr/lib/secure-ai/services.json").services["policy-engine"].path).toBe(
    "/usr/lib/secure-ai/services/policy-engine.mjs",
  );
  expect(bench.tools("find good/tmp good/run good/var/cache good/var/log good/var/tmp -mindepth 1")).toBe("");
});

test("skopeo takes our policy, and rejects with it what it does not name", () => {
  const inspect = (policy: string) => `skopeo --policy ${policy} copy oci:image:fixture dir:copied 2>&1 || true`;
  expect(bench.tools(inspect("good/etc/containers/policy.json"))).toContain("rejected by policy");
  bench.write("accept.json", '{"default":[{"type":"insecureAcceptAnything"}]}');
  expect(bench.tools(inspect("accept.json"))).not.toContain("rejected");
});

const policy = (transports: object, fallback = "reject") => JSON.stringify({ default: [{ type: fallback }], transports });
const rule = { type: "sigstoreSigned", keyPath: "/etc/pki/containers/release.pub", signedIdentity: { type: "matchRepository" } };
const POLICY = "etc/containers/policy.json";

const refused: readonly { name: string; code: string; edit: Edit }[] = [
  {
    name: "a policy that accepts by default",
    code: "POLICY_REFUSED",
    edit: { overlay: { [POLICY]: policy({ docker: { [REPOSITORY]: [rule] } }, "insecureAcceptAnything") } },
  },
  {
    name: "a second accepted repository",
    code: "POLICY_REFUSED",
    edit: {
      overlay: {
        [POLICY]: policy({ docker: { [REPOSITORY]: [rule], "other.example/x": [{ type: "insecureAcceptAnything" }] } }),
      },
    },
  },
  {
    name: "a second rule for ours",
    code: "POLICY_REFUSED",
    edit: { overlay: { [POLICY]: policy({ docker: { [REPOSITORY]: [rule, { type: "insecureAcceptAnything" }] } }) } },
  },
  {
    name: "a second transport",
    code: "POLICY_REFUSED",
    edit: {
      overlay: { [POLICY]: policy({ docker: { [REPOSITORY]: [rule] }, oci: { "": [{ type: "insecureAcceptAnything" }] } }) },
    },
  },
  {
    name: "a rule for the whole registry",
    code: "POLICY_REFUSED",
    edit: { overlay: { [POLICY]: policy({ docker: { "registry.example": [rule] } }) } },
  },
  {
    name: "a signature for any name",
    code: "POLICY_REFUSED",
    edit: {
      overlay: { [POLICY]: policy({ docker: { [REPOSITORY]: [{ ...rule, signedIdentity: { type: "exactReference" } }] } }) },
    },
  },
  {
    name: "a key that is not there",
    code: "POLICY_REFUSED",
    edit: {
      overlay: { [POLICY]: policy({ docker: { [REPOSITORY]: [{ ...rule, keyPath: "/etc/pki/containers/other.pub" }] } }) },
    },
  },
  { name: "no policy", code: "POLICY_REFUSED", edit: { leave: "./policy" } },
  {
    name: "a policy of every user's own",
    code: "POLICY_REFUSED",
    edit: { overlay: { "etc/skel/.config/containers/policy.json": policy({}) } },
  },
  { name: "a second policy file", code: "POLICY_REFUSED", edit: { overlay: { "usr/share/containers/policy.json": policy({}) } } },
  {
    name: "a unit on both lists",
    code: "UNIT_STATE_DIFFERS",
    edit: { units: { enabled: ["a.service"], disabled: ["a.service"] } },
  },
  {
    name: "a unit that should be on and is off",
    code: "UNIT_STATE_DIFFERS",
    edit: { units: { enabled: ["sshd.service"], disabled: [] } },
  },
  {
    name: "a unit that should be off and is on",
    code: "UNIT_STATE_DIFFERS",
    edit: { units: { enabled: [], disabled: ["nftables.service"] } },
  },
  {
    name: "a unit that should be on and does not exist",
    code: "UNIT_STATE_DIFFERS",
    edit: { units: { enabled: ["nobody.service"], disabled: [] } },
  },
  {
    name: "a preset that turns on what should be off",
    code: "UNIT_STATE_DIFFERS",
    edit: { overlay: { "usr/lib/systemd/system-preset/00-first.preset": "enable sshd.service\n" } },
  },
  {
    name: "a mount unit under an unescaped name",
    code: "UNIT_NAME_DIFFERS",
    edit: { overlay: { "usr/lib/systemd/system/run-secure-ai-tmp.mount": "[Mount]\nWhere=/run/secure-ai/tmp\n" } },
  },
  { name: "an overlay that writes to /var", code: "LAYER_UNSAFE", edit: { overlay: { "var/lib/x": "x" } } },
  { name: "an overlay that writes to /usr/etc", code: "LAYER_UNSAFE", edit: { overlay: { "usr/etc/x": "x" } } },
  { name: "an overlay that goes by a link of merged /usr", code: "LAYER_UNSAFE", edit: { overlay: { "lib/x": "x" } } },
];
for (const [index, { name, code, edit }] of refused.entries())
  test(`refuses ${name}`, () => {
    expect(bench.refusal("tree", flagsOf(`refused-${index}`, edit))).toBe(code);
    bench.tools(`rm -rf refused-${index}`);
  });

test("refuses a unit or script that calls a program of ours that is not there", () => {
  const overlay = {
    "usr/lib/systemd/system/x.service": "[Service]\nExecStart=/usr/bin/node /usr/libexec/secure-ai/absent.mjs now\n",
  };
  expect(bench.refusal("tree", flagsOf("calls-absent", { overlay }))).toBe("PROGRAM_ABSENT");
});

test("refuses to write through a link that the base has in the place of a folder", () => {
  bench.tools("cp -a packages linked; rm -rf linked/usr/lib/sysctl.d; ln -s /tmp linked/usr/lib/sysctl.d");
  expect(bench.refusal("tree", flagsOf("linked-out", { root: "./linked" }))).toBe("LAYER_UNSAFE");
});

describe("the image", () => {
  const flags = (tree: string, out: string) => ({
    ...{ image: "./image", digest, platform: PLATFORM, base: "./base", packages: "./packages", tree },
    ...{
      title: "A test",
      version: "1.2.3",
      revision: "01".repeat(20),
      licenses: "Apache-2.0",
      out: `./${out}`,
      report: `./${out}.json`,
    },
  });
  const leftovers = [
    "var/cache/dnf/x",
    "tmp/scratch",
    "var/log/dnf.log",
    "usr/lib/some.rpm",
    "usr/src/secai/main.c",
    "root/.bash_history",
    "usr/share/x/.git/HEAD",
    "usr/share/rpm/rpmdb.sqlite-wal",
  ];
  for (const [index, path] of leftovers.entries())
    test(`refuses /${path} in a layer`, () => {
      bench.tools(`cp -a good dirty-${index}`);
      bench.write(`dirty-${index}/${path}`, "left over");
      expect(bench.refusal("image", flags(`./dirty-${index}`, `dirty-${index}-oci`))).toBe("LAYER_NOT_CLEAN");
      bench.tools(`rm -rf dirty-${index}`);
    });

  test("refuses a file whose name readers would take for a whiteout", () => {
    bench.tools("cp -a good hiding");
    bench.write("hiding/usr/bin/.wh.bash", "");
    expect(bench.refusal("image", flags("./hiding", "hiding-oci"))).toBe("LAYER_UNSAFE");
  });

  test("refuses a revision that is no commit", () =>
    expect(bench.start("image", { ...flags("./good", "unversioned"), revision: "main" }).status).not.toBe(0));
});

describe("lint", () => {
  const run = (root: string, bootc = "auto") => bench.refusal("lint", { root, bootc, report: "./lint.json" });
  const changed = (name: string, script: string): string => {
    bench.tools(`cp -a good ${name}; cd ${name}; ${script}`);
    return `./${name}`;
  };

  test("passes, and says that bootc itself did not look", () => {
    expect(run("./good")).toBe("accepted");
    expect(bench.json("lint.json")).toMatchObject({ ranBy: ["secai"], findings: [] });
  });

  const fatal: readonly { name: string; rule: string; script: string }[] = [
    { name: "a second kernel", rule: "kernel", script: "mkdir usr/lib/modules/7; : > usr/lib/modules/7/vmlinuz" },
    { name: "no kernel", rule: "kernel", script: "rm usr/lib/modules/*/vmlinuz" },
    { name: "/usr/etc", rule: "etc-usretc", script: "mkdir usr/etc" },
    { name: "/var/run as a folder", rule: "var-run", script: "rm -f var/run; mkdir var/run" },
    { name: "a missing /sysroot", rule: "baseimage-root", script: "rm -r sysroot" },
    { name: "/ostree that leads elsewhere", rule: "baseimage-root", script: "ln -sfn elsewhere ostree" },
    { name: "no /sys", rule: "api-base-directories", script: "rmdir sys" },
    { name: "a name that is no UTF-8", rule: "utf8", script: "touch usr/lib/$'\\xff'" },
    {
      name: "kernel arguments that bootc cannot read",
      rule: "bootc-kargs",
      script: "echo kargs=1 > usr/lib/bootc/kargs.d/20-x.toml",
    },
    {
      name: "kernel arguments of the base that weaken",
      rule: "bootc-kargs",
      script: `echo 'kargs = ["selinux=0"]' > usr/lib/bootc/kargs.d/00-x.toml`,
    },
  ];
  for (const [index, { name, rule, script }] of fatal.entries())
    test(`refuses ${name}`, () => {
      expect(run(changed(`lint-${index}`, script))).toBe("LINT_FAILED");
      expect(bench.json("lint.json").findings).toEqual([expect.objectContaining({ rule, level: "fatal" })]);
    });

  test("warns of what works all the same", () => {
    const script =
      "echo x > boot/x; echo x > run/x; echo x > var/log/x; : > etc/resolv.conf; echo > usr/lib/ostree/prepare-root.conf";
    expect(run(changed("warned", script))).toBe("accepted");
    const rules = bench.json("lint.json").findings.map(({ rule }: { rule: string }) => rule);
    expect(rules).toEqual([
      "baseimage-composefs",
      "buildah-injected",
      "nonempty-boot",
      "nonempty-run-tmp",
      "var-log",
      "var-tmpfiles",
    ]);
  });

  /** In the place of bootc: a program of the root that answers as bootc does, and says where it runs. */
  const bootc = (status: number) =>
    `printf '#!/bin/bash\\nif [ "$1" = --version ]; then echo bootc 1.1.7; exit; fi\\n[ -d /proc/self ] && [ -f /usr/bin/added ] || exit 9\\necho "$*"\\nexit ${status}\\n' > usr/bin/bootc; chmod 755 usr/bin/bootc`;
  test("lets the root's own bootc decide, inside the root, and says so", () => {
    const { status, output } = bench.start("lint", {
      root: changed("with-bootc", bootc(0)),
      bootc: "auto",
      report: "./lint.json",
    });
    expect({ status, asked: output.includes("container lint") }).toEqual({ status: 0, asked: true });
    expect(bench.json("lint.json").ranBy).toEqual(["bootc 1.1.7", "secai"]);
    expect(run(changed("refusing-bootc", bootc(1)))).toBe("LINT_FAILED");
    expect(run("./refusing-bootc", "never")).toBe("accepted");
  });
});

test("a private key never reaches the image", () => {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  bench.write("wrong.pub", privateKey.export({ type: "pkcs8", format: "pem" }) as string, 0o600);
  expect(bench.refusal("policy", { repository: REPOSITORY, key: "./wrong.pub", out: "./none" })).toBe("POLICY_REFUSED");
  for (const repository of ["registry.example", "registry.example/x:latest", "registry.example/*", "Registry/x"])
    expect(bench.refusal("policy", { repository, key: "./release.pub", out: "./none" }), repository).toBe("POLICY_REFUSED");
});
