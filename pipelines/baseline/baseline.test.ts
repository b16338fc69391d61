import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type BaselineEntry, buildBaseline } from "@secai/formats/baseline";
import { canonicalJson } from "@secai/formats/canonical-json";
import { sha256 } from "@secai/formats/digest";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { BaselineError } from "./errors.ts";
import { baselineFacts } from "./facts.ts";
import { portsOf } from "./ports.ts";
import { readEntries } from "./root.ts";
import { effectiveSysctl, isSysctlFile } from "./sysctl.ts";
import { enabledUnits, unitsOf } from "./units.ts";

const coded = (code: string) => expect.objectContaining({ code });

describe("the tree", () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "secai-baseline-"));
  });
  afterEach(() => rmSync(root, { recursive: true }));
  const put = (path: string, content: string, mode = 0o644) => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), content, { mode });
  };

  test("a socket is refused", async () => {
    const server = createServer().listen(join(root, "socket"));
    await new Promise((resolve) => server.on("listening", resolve));
    expect(() => readEntries(root)).toThrow(coded("BASELINE_ROOT_UNFIT"));
    await new Promise((resolve) => server.close(resolve));
  });

  test("a file name that is no UTF-8 is refused", () => {
    writeFileSync(Buffer.concat([Buffer.from(`${root}/`), Buffer.from([0xff, 0x61])]), "");
    expect(() => readEntries(root)).toThrow(coded("BASELINE_ROOT_UNFIT"));
  });

  test("a link out of the tree is recorded, not followed", () => {
    symlinkSync("/etc", join(root, "out"));
    expect(readEntries(root).map(({ path, type }) => [path, type])).toEqual([
      ["/", "directory"],
      ["/out", "symlink"],
    ]);
  });

  test("modes have four digits, files their content", () => {
    put("usr/bin/x", "hello\n", 0o755);
    const entry = readEntries(root).find(({ path }) => path === "/usr/bin/x");
    expect(entry).toMatchObject({ type: "file", mode: "0755", sha256: sha256("hello\n"), size: 6, uid: process.getuid?.() });
  });

  test("facts of a whole root make a baseline; a policy that changes changes it", () => {
    put("etc/nftables.conf", "flush ruleset\n");
    put("etc/secure-ai/policy/policy.yaml", "a: 1\n");
    put("usr/lib/sysctl.d/90-secure-ai.conf", "kernel.sysrq = 0\n");
    put("usr/lib/secure-ai/health-endpoints", "# name port path\none 8500 /health\n");
    put("usr/lib/secure-ai/services/one.mjs", "bundle");
    const services = { one: { path: "/usr/lib/secure-ai/services/one.mjs", sha256: sha256("bundle") } };
    put("usr/lib/secure-ai/services.json", `${canonicalJson({ schema: 1, services })}\n`);
    put("usr/lib/systemd/system/secure-ai-one.service", "[Service]\nEnvironment=BIND_ADDR=127.0.0.1:8500\n");
    put("usr/lib/systemd/system/other.socket", "[Socket]\n");
    const make = () =>
      buildBaseline(
        baselineFacts({
          files: readEntries(root),
          read: (path) => readFileSync(join(root, path), "utf8"),
          rootHash: sha256("root"),
          kernelArguments: ["ro"],
          unitFiles: "secure-ai-one.service enabled enabled\nother.socket disabled disabled\n",
          packages: [{ name: "bash", version: "5", architecture: "amd64" }],
        }),
      );
    const first = make();
    expect(first).toMatchObject({
      commandLine: `roothash=${sha256("root")} ro`,
      units: [
        { name: "other.socket", enabled: false },
        { name: "secure-ai-one.service", enabled: true },
      ],
      ports: [{ service: "one", address: "127.0.0.1", port: 8500 }],
      services,
      policies: [{ path: "/etc/secure-ai/policy/policy.yaml", sha256: sha256("a: 1\n") }],
      sysctl: { "kernel.sysrq": "0" },
      firewall: { sha256: sha256("flush ruleset\n") },
    });
    put("etc/secure-ai/policy/policy.yaml", "a: 2\n");
    expect(make()).not.toEqual(first);
    rmSync(join(root, "etc/nftables.conf"));
    expect(make).toThrow(coded("BASELINE_SETTING_MALFORMED"));
  });
});

describe("kernel settings", () => {
  const file = (path: string, text: string) => ({ path, text });
  const malformed = ["kernel.x", "kernel.x =", "= 1", "-net.ipv4.conf.*.x = 1", "-kernel.x"];
  for (const line of malformed) {
    test(`"${line}" is refused`, () =>
      expect(() => effectiveSysctl([file("/etc/sysctl.d/1.conf", line)])).toThrow(coded("BASELINE_SETTING_MALFORMED")));
  }

  test("the file whose name comes last counts, wherever it lies", () => {
    const files = [file("/usr/lib/sysctl.d/90-b.conf", "k.a = 2"), file("/etc/sysctl.d/10-a.conf", "k.a = 1\nk.b=1")];
    expect(effectiveSysctl(files)).toEqual({ "k.a": "2", "k.b": "1" });
  });

  test("a file in /etc hides one of the same name", () => {
    const files = [file("/etc/sysctl.d/x.conf", "k.a = 1"), file("/usr/lib/sysctl.d/x.conf", "k.a = 2\nk.b = 2")];
    expect(effectiveSysctl(files)).toEqual({ "k.a": "1" });
  });

  test("comments, blanks, optional settings and slashes", () => {
    const text = "# c\n; c\n\n -kernel.a =  1\t0 \nnet/ipv4/conf/eth0.1/x = 1\nkernel.core_pattern = |/bin/false";
    expect(effectiveSysctl([file("/usr/lib/sysctl.d/x.conf", text)])).toEqual({
      "kernel.a": "1 0",
      "net.ipv4.conf.eth0/1.x": "1",
      "kernel.core_pattern": "|/bin/false",
    });
  });

  test("only what systemd-sysctl reads", () => {
    const paths = [
      "/etc/sysctl.d/a.conf",
      "/usr/lib/sysctl.d/a.conf",
      "/etc/sysctl.conf",
      "/etc/sysctl.d/README",
      "/etc/sysctl.d/b/c.conf",
    ];
    expect(paths.filter(isSysctlFile)).toEqual(["/etc/sysctl.d/a.conf", "/usr/lib/sysctl.d/a.conf"]);
  });

  test("any text gives settings or a BaselineError", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        try {
          effectiveSysctl([file("/etc/sysctl.d/x.conf", text)]);
        } catch (error) {
          expect(error).toBeInstanceOf(BaselineError);
        }
      }),
    );
  });
});

describe("ports", () => {
  const unit = (text: string) => new Map([["secure-ai-one.service", text]]);
  test.each([
    ["no number", unit("Environment=BIND_ADDR=127.0.0.1:http\n"), "", "BASELINE_SETTING_MALFORMED"],
    ["a host name", unit("Environment=BIND_ADDR=localhost:1\n"), "", "BASELINE_SETTING_MALFORMED"],
    ["an endpoint without path", new Map(), "one 1\n", "BASELINE_SETTING_MALFORMED"],
    ["an endpoint that nobody serves", new Map(), "one 1 /\n", "BASELINE_PORTS_DISAGREE"],
    ["an endpoint on another port", unit("Environment=BIND_ADDR=127.0.0.1:2\n"), "one 1 /\n", "BASELINE_PORTS_DISAGREE"],
    ["an endpoint of another service", unit("Environment=BIND_ADDR=127.0.0.1:1\n"), "two 1 /\n", "BASELINE_PORTS_DISAGREE"],
  ] as const)("%s is refused", (_, units, endpoints, code) => {
    expect(() => portsOf(units, endpoints)).toThrow(coded(code));
  });

  test("the last BIND_ADDR counts, a Unix socket is no port, IPv6 comes without brackets", () => {
    expect(portsOf(unit("Environment=BIND_ADDR=127.0.0.1:1\nEnvironment=BIND_ADDR=[::1]:2\n"), "")).toEqual([
      { service: "one", address: "::1", port: 2 },
    ]);
    expect(portsOf(unit("Environment=BIND_ADDR=unix:/run/x.sock\n"), "")).toEqual([]);
    expect(portsOf(unit("#Environment=BIND_ADDR=127.0.0.1:1\n"), "")).toEqual([]);
  });
});

test("units: /etc hides /usr/lib, links and drop-ins are none, only the state enabled counts", () => {
  const common = { mode: "0644", uid: 0, gid: 0 } as const;
  const file = (path: string): BaselineEntry => ({ ...common, path, type: "file", sha256: sha256(path), size: 1 });
  const files: BaselineEntry[] = [
    file("/usr/lib/systemd/system/a.service"),
    file("/etc/systemd/system/a.service"),
    file("/usr/lib/systemd/system/b.timer"),
    file("/usr/lib/systemd/system/b.timer.d/10.conf"),
    { ...common, path: "/etc/systemd/system/c.service", type: "symlink", target: "/dev/null" },
  ];
  const enabled = enabledUnits("a.service enabled-runtime enabled\nb.timer  enabled  enabled\nc.service masked enabled\n\n");
  expect(unitsOf(files, enabled).toSorted((x, y) => (x.name < y.name ? -1 : 1))).toEqual([
    { name: "a.service", sha256: sha256("/etc/systemd/system/a.service"), enabled: false },
    { name: "b.timer", sha256: sha256("/usr/lib/systemd/system/b.timer"), enabled: true },
  ]);
});
