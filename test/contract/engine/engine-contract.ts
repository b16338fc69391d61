import { mkdir, readdir, readFile, stat, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type Sha256, sha256 } from "../../../attest/formats/digest.ts";
import type { RunResult } from "../../../pipelines/engine/engine.ts";
import type { ExecStep, Plan } from "../../../pipelines/step.ts";
import {
  type CreateEngine,
  collectEvents,
  digestSources,
  fetchStep,
  fixtureFile,
  output,
  planOf,
  ranSteps,
  scriptStep,
  sha256Hex,
  type Workspace,
  withWorkspace,
} from "./fixture.ts";

/**
 * What every engine promises a plan. {kind: "host"} tools must hold a POSIX shell, bash and coreutils.
 * A failing promise names itself; an engine that cannot run here must fail, not skip.
 */
export function engineContract(name: string, createEngine: CreateEngine): void {
  const build = async (workspace: Workspace, plan: Plan) => {
    const { events, report } = collectEvents();
    const result = await createEngine(workspace).run(plan, { report });
    return { events, result, text: (step: string, outputName?: string) => readText(result, step, outputName) };
  };
  const failure = async (workspace: Workspace, plan: Plan) => {
    const { events, report } = collectEvents();
    const error = await createEngine(workspace)
      .run(plan, { report })
      .then(
        () => undefined,
        (thrown: { code?: string; actual?: string }) => thrown,
      );
    return { events, error };
  };

  describe(`engine ${name}: refusals`, () => {
    const broken = [
      { name: "a step that fails", script: "seq 100; exit 7", code: "STEP_FAILED" },
      { name: "a step killed by a signal", script: "kill -9 $$", code: "STEP_FAILED" },
      { name: "a program that does not exist", script: "no-such-program", code: "STEP_FAILED" },
      { name: "a missing output", script: "true", code: "STEP_OUTPUT_MISSING" },
      { name: "a folder where a file is declared", script: "mkdir /out/result", code: "STEP_OUTPUT_MISSING" },
      { name: "a link where a file is declared", script: "ln -s /etc/passwd /out/result", code: "STEP_OUTPUT_MISSING" },
      { name: "an undeclared file", script: "touch /out/result /out/extra", code: "STEP_OUTPUT_UNDECLARED" },
      { name: "an undeclared hidden folder", script: "touch /out/result; mkdir /out/.x", code: "STEP_OUTPUT_UNDECLARED" },
    ];
    for (const { name: what, script, code } of broken) {
      test(`${what} is ${code}, and nothing of it is kept`, () =>
        withWorkspace(async (workspace) => {
          const plan = planOf([scriptStep("broken", script)]);
          const { error, events } = await failure(workspace, plan);
          expect(error?.code).toBe(code);
          expect(events.at(-1)).toMatchObject({ type: "step-failed", step: "broken", code });
          expect((await failure(workspace, plan)).error?.code).toBe(code);
        }));
    }

    test("a failure carries the exit status, the last 30 lines and the log", () =>
      withWorkspace(async (workspace) => {
        const { error, events } = await failure(workspace, planOf([scriptStep("broken", "seq 100; echo last >&2; exit 7")]));
        const failed = events.find((event) => event.type === "step-failed");
        expect(error?.actual).toMatch(/^7\b/);
        expect(failed?.tail).toHaveLength(30);
        expect(failed?.tail.slice(-2)).toEqual(["100", "last"]);
        expect(await readFile(failed?.logPath ?? "", "utf8")).toMatch(/^1\n2\n/);
      }));

    test("a link in the way of a declared output is not followed", () =>
      withWorkspace(async (workspace) => {
        const step = {
          ...scriptStep("broken", "ln -s /etc /out/etc"),
          outputs: { x: { path: "/out/etc/passwd", type: "file" } },
        } as const;
        expect((await failure(workspace, planOf([step]))).error?.code).toBe("STEP_OUTPUT_MISSING");
      }));

    test("a step after a failed one does not run", () =>
      withWorkspace(async (workspace) => {
        const steps = [scriptStep("a", "exit 1"), scriptStep("b", "touch /out/result", { inputs: { "/in/a": output("a") } })];
        const { events } = await failure(workspace, planOf(steps));
        expect(ranSteps(events)).toEqual(["a"]);
      }));

    const wrongPlans = [
      { name: "an unknown step", steps: [scriptStep("a", "true", { inputs: { "/in/x": output("nobody") } })] },
      { name: "a later step", steps: [scriptStep("a", "true", { inputs: { "/in/x": output("b") } }), scriptStep("b", "true")] },
      { name: "two steps of one name", steps: [scriptStep("a", "true"), scriptStep("a", "true")] },
      {
        name: "an output outside of /out",
        steps: [{ ...scriptStep("a", "true"), outputs: { x: { path: "/tmp/x", type: "file" } } } as const],
      },
      {
        name: "an output that climbs out",
        steps: [{ ...scriptStep("a", "true"), outputs: { x: { path: "/out/../x", type: "file" } } } as const],
      },
      {
        name: "an output name with a slash",
        steps: [{ ...scriptStep("a", "true"), outputs: { "../x": { path: "/out/x", type: "file" } } } as const],
      },
      { name: "an input over /out", steps: [scriptStep("a", "true", { inputs: { "/out/x": { kind: "text", content: "" } } })] },
      {
        name: "a source without a digest",
        steps: [scriptStep("a", "true", { inputs: { "/in/x": { kind: "source", path: "x" } } })],
      },
    ];
    for (const { name: what, steps } of wrongPlans) {
      test(`a plan with ${what} is PLAN_INVALID`, () =>
        withWorkspace(async (workspace) => {
          const targets = { outputs: { x: { kind: "output", step: "a", output: "x" } } } as const;
          expect((await failure(workspace, planOf(steps, targets))).error?.code).toBe("PLAN_INVALID");
        }));
    }

    test("a source edited after the plan is STEP_SOURCE_CHANGED", () =>
      withWorkspace(async (workspace) => {
        await writeFile(join(workspace.top, "file"), "planned");
        const sources = digestSources(workspace.top, ["file"]);
        await writeFile(join(workspace.top, "file"), "edited");
        const step = scriptStep("copy", "cp /in/file /out/result", { inputs: { "/in/file": { kind: "source", path: "file" } } });
        expect((await failure(workspace, planOf([step], { sources }))).error?.code).toBe("STEP_SOURCE_CHANGED");
      }));

    test("a key that is not in the keyring is SECRET_MISSING", () =>
      withWorkspace(async (workspace) => {
        const step = scriptStep("sign", "true", { secrets: { "/secrets/k": { name: "k.key", identity: sha256("k") } } });
        expect((await failure(workspace, planOf([step]))).error?.code).toBe("SECRET_MISSING");
      }));
  });

  describe(`engine ${name}: sandbox`, () => {
    test("a step cannot reach a server of this machine, not even on loopback", () =>
      withWorkspace(async (workspace) => {
        let connections = 0;
        const server = createServer(() => {
          connections += 1;
        });
        const port = await new Promise<number>((resolve) => {
          server.listen(0, "127.0.0.1", () => resolve((server.address() as { port: number }).port));
        });
        try {
          const connect = `(exec 3<>/dev/tcp/127.0.0.1/${port}) 2>/dev/null && echo reached || echo unreachable`;
          const step = {
            ...scriptStep("connect", ""),
            run: ["bash", "-c", `{ ${connect}; ls /sys/class/net 2>&1 || true; } > /out/result`],
          };
          const { text } = await build(workspace, planOf([step]));
          expect(await text("connect")).toMatch(/^unreachable\n/);
          expect(connections).toBe(0);
        } finally {
          server.close();
        }
      }));

    test("the environment holds what is declared and nothing of the caller's", () =>
      withWorkspace(async (workspace) => {
        process.env.SECAI_TEST_CANARY = "canary";
        try {
          const { text } = await build(
            workspace,
            planOf([scriptStep("env", "env | sort > /out/result", { env: { DECLARED: "yes" } })]),
          );
          expect((await text("env")).split("\n").filter((line) => line !== "" && !/^(PWD|SHLVL|_|OLDPWD)=/.test(line))).toEqual([
            "DECLARED=yes",
            "HOME=/tmp",
            "LANG=C.UTF-8",
            expect.stringMatching(/^PATH=\/usr/),
            "SOURCE_DATE_EPOCH=1760000000",
            "TZ=UTC",
          ]);
        } finally {
          delete process.env.SECAI_TEST_CANARY;
        }
      }));

    test("it cannot see the caller's home, files or processes", () =>
      withWorkspace(async (workspace) => {
        const paths = [
          workspace.top,
          workspace.keys,
          process.cwd(),
          "/root/.",
          "/home/.",
          "/etc/shadow",
          "/etc/ssh",
          "/var/lib/dpkg",
        ];
        const script = `for p in ${paths.join(" ")}; do if test -e $p; then echo "$p"; fi; done > /out/result; ls -d /proc/[0-9]* | wc -l > /out/count`;
        const { text } = await build(workspace, planOf([scriptStep("look", script, { made: ["result", "count"] })]));
        expect(await text("look")).toBe("");
        expect(Number(await text("look", "count"))).toBeLessThan(8);
      }));

    const readOnlyPlaces = [
      "/in/text",
      "/in/folder/new",
      "/usr/new",
      "/etc/new",
      "/new",
      "/in/new",
      "/proc/sys/kernel/hostname",
      "/dev/new/x",
    ];
    test("only /out and /tmp can be written", () =>
      withWorkspace(async (workspace) => {
        await mkdir(join(workspace.top, "folder"));
        const script = `for p in ${readOnlyPlaces.join(" ")}; do (echo x >> $p) 2>/dev/null && echo $p; done > /out/result; echo x > /tmp/x; true`;
        const inputs = {
          "/in/text": { kind: "text", content: "text" },
          "/in/folder": { kind: "source", path: "folder" },
        } as const;
        const { text } = await build(
          workspace,
          planOf([scriptStep("write", script, { inputs })], { sources: digestSources(workspace.top, ["folder"]) }),
        );
        expect(await text("write")).toBe("");
      }));

    test("two sources with the same content are both there", () =>
      withWorkspace(async (workspace) => {
        for (const name of ["one", "two"]) await writeFile(join(workspace.top, name), "same");
        const inputs = { "/in/a": { kind: "source", path: "one" }, "/in/b": { kind: "source", path: "two" } } as const;
        const step = scriptStep("both", "cat /in/a /in/b > /out/result", { inputs });
        const { text } = await build(workspace, planOf([step], { sources: digestSources(workspace.top, ["one", "two"]) }));
        expect(await text("both")).toBe("samesame");
      }));

    test("it is uid 0 without capabilities, on a machine called build, umask 022", () =>
      withWorkspace(async (workspace) => {
        const script = "{ id -u; uname -n; umask; sed -n 's/^CapEff:\\t*//p' /proc/self/status; } > /out/result";
        const { text } = await build(workspace, planOf([scriptStep("who", script)]));
        expect(await text("who")).toBe("0\nbuild\n0022\n0000000000000000\n");
      }));

    test("a tree step may change owners and mount inside its sandbox", () =>
      withWorkspace(async (workspace) => {
        const script =
          "mkdir /out/tree /tmp/m; touch /out/tree/f; chown 42:43 /out/tree/f; mount -t tmpfs none /tmp/m; touch /tmp/m/x";
        const step = scriptStep("tree", script, { made: ["tree/"], privileges: "tree" });
        const next = scriptStep("next", "stat -c '%u %g' /in/tree/f > /out/result", {
          inputs: { "/in/tree": output("tree", "tree") },
        });
        const { text } = await build(workspace, planOf([step, next]));
        expect(await text("next")).toBe("42 43\n");
      }));
  });

  describe(`engine ${name}: inputs and outputs`, () => {
    test("every kind of input arrives", () =>
      withWorkspace(async (workspace) => {
        await mkdir(join(workspace.top, "folder"), { mode: 0o700 });
        await writeFile(join(workspace.top, "folder", "tool.sh"), "echo tool\n", { mode: 0o700 });
        await symlink("tool.sh", join(workspace.top, "folder", "link"));
        await writeFile(join(workspace.programs, "program"), "program\n");
        const step = scriptStep(
          "read",
          "cat /in/text /in/program /in/debs/* > /out/result; /bin/sh /in/folder/link >> /out/result; stat -c '%a %u' /in/folder /in/folder/tool.sh >> /out/result",
          {
            inputs: {
              "/in/text": { kind: "text", content: "text\n" },
              "/in/program": { kind: "program", name: "program" },
              "/in/debs": { kind: "fetched", step: "fetch" },
              "/in/folder": { kind: "source", path: "folder" },
            },
          },
        );
        const plan = planOf([fetchStep("fetch", ["b.deb", "a.deb"]), step], {
          sources: digestSources(workspace.top, ["folder"]),
          programs: { program: sha256("program\n") },
        });
        const { text, result } = await build(workspace, plan);
        const fetched = fixtureFile("a.deb") + fixtureFile("b.deb");
        expect(await text("read")).toBe(`text\nprogram\n${fetched}tool\n755 0\n755 0\n`);
        expect(result.records.map(({ id }) => id)).toEqual(["fetch", "read"]);
        expect(result.records[1]?.inputs.map(({ path, kind }) => [path, kind])).toEqual([
          ["/", "tools"],
          ["/in/debs", "fetched"],
          ["/in/folder", "source"],
          ["/in/program", "program"],
          ["/in/text", "text"],
        ]);
      }));

    test("a folder keeps modes, links and hard links on its way to the next step", () =>
      withWorkspace(async (workspace) => {
        const make = "mkdir -p /out/tree/d; cd /out/tree; echo x > f; chmod 4711 f; ln f hard; ln -s /nowhere soft; chmod 1777 d";
        const see = "cd /in/tree; stat -c '%n %a %h %F' f hard soft d > /out/result; readlink soft >> /out/result";
        const steps = [
          scriptStep("make", make, { made: ["tree/"] }),
          scriptStep("see", see, { inputs: { "/in/tree": output("make", "tree") } }),
        ];
        const { text, result } = await build(workspace, planOf(steps));
        expect(await text("see")).toBe(
          "f 4711 2 regular file\nhard 4711 2 regular file\nsoft 777 1 symbolic link\nd 1777 2 directory\n/nowhere\n",
        );
        expect(result.records[0]?.outputs.tree).toMatchObject({ type: "directory", size: 4 });
      }));

    test("a file's record holds its digest and size", () =>
      withWorkspace(async (workspace) => {
        const { result } = await build(workspace, planOf([scriptStep("a", "printf hello > /out/result")]));
        expect(result.records[0]?.outputs.result).toEqual({ digest: sha256Hex("hello"), type: "file", size: 5 });
        expect((await stat(result.pathOf(output("a")))).mode & 0o777).toBe(0o444);
      }));

    test("a step runs in the tree that another step made", () =>
      withWorkspace(async (workspace) => {
        const make = `mkdir -p /out/root/usr/bin; cp /bin/dash /out/root/usr/bin/sh; ln -s usr/bin /out/root/bin;
          for lib in $(ldd /bin/dash | grep -o '/lib[^ ]*'); do mkdir -p /out/root$(dirname $lib); cp $lib /out/root$lib; done
          echo tree > /out/root/marker`;
        const steps = [
          scriptStep("root", make, { made: ["root/"] }),
          scriptStep("inside", 'read line < /marker; echo "$line" > /out/result; test ! -e /usr/bin/env', {
            tools: output("root", "root"),
          }),
        ];
        const { text } = await build(workspace, planOf(steps));
        expect(await text("inside")).toBe("tree\n");
      }));

    test("a secret is readable inside, and in no record, log or file of the cache", () =>
      withWorkspace(async (workspace) => {
        const canary = `canary-${process.pid}-${Math.random().toString(36).slice(2)}`;
        await writeFile(join(workspace.keys, "k.key"), canary, { mode: 0o600 });
        const secrets = { "/secrets/k.key": { name: "k.key", identity: sha256("public half") } };
        const step = scriptStep("sign", "sha256sum < /secrets/k.key | cut -c1-64 > /out/result", { secrets });
        const { result, events, text } = await build(workspace, planOf([step]));
        expect(await text("sign")).toBe(`${sha256Hex(canary)}\n`);
        expect(JSON.stringify([result.records, events])).not.toContain(canary);
        for (const path of await filesBelow(workspace.cacheDir))
          expect((await readFile(path)).includes(canary), path).toBe(false);
      }));
  });

  describe(`engine ${name}: cache`, () => {
    const steps = (noise: string) => [
      scriptStep("a", `echo same > /out/result; # ${noise}`),
      scriptStep("b", "cat /in/a /in/a > /out/result", { inputs: { "/in/a": output("a") } }),
    ];

    test("what was made is not made again, also by another engine object", () =>
      withWorkspace(async (workspace) => {
        const first = await build(workspace, planOf(steps("")));
        const second = await build(workspace, planOf(steps("")));
        expect(ranSteps(first.events)).toEqual(["a", "b"]);
        expect(ranSteps(second.events)).toEqual([]);
        expect(second.result.records).toEqual(first.result.records.map((record) => ({ ...record, cached: true })));
        expect(await second.text("b")).toBe("same\nsame\n");
      }));

    test("a step that makes the same bytes as before does not cause the next one to run", () =>
      withWorkspace(async (workspace) => {
        await build(workspace, planOf(steps("")));
        const { events } = await build(workspace, planOf(steps("changed")));
        expect(ranSteps(events)).toEqual(["a"]);
      }));

    test("id and title are names, not inputs", () =>
      withWorkspace(async (workspace) => {
        await build(workspace, planOf([scriptStep("a", "touch /out/result")]));
        const renamed = { ...scriptStep("b", "touch /out/result"), title: "another" };
        const { events, result } = await build(workspace, planOf([renamed]));
        expect(ranSteps(events)).toEqual([]);
        expect(result.records[0]?.step).toEqual(renamed);
      }));

    const base = scriptStep("a", "touch /out/result");
    const identity = (text: string): { name: string; identity: Sha256 } => ({ name: "k.key", identity: sha256(text) });
    const changes: readonly { readonly name: string; readonly plan: Plan }[] = [
      { name: "the command", plan: planOf([{ ...base, run: ["sh", "-c", "touch /out/result"] }]) },
      { name: "a variable", plan: planOf([{ ...base, env: { A: "1" } }]) },
      { name: "an empty variable", plan: planOf([{ ...base, env: { A: "" } }]) },
      { name: "the privileges", plan: planOf([{ ...base, privileges: "tree" }]) },
      { name: "the epoch", plan: planOf([base], { sourceDateEpoch: 1 }) },
      { name: "an input", plan: planOf([{ ...base, inputs: { "/in/a": { kind: "text", content: "" } } }]) },
      { name: "where an input is", plan: planOf([{ ...base, inputs: { "/in/b": { kind: "text", content: "" } } }]) },
      { name: "a secret", plan: planOf([{ ...base, secrets: { "/s/k": identity("1") } }]) },
      { name: "the identity of a secret", plan: planOf([{ ...base, secrets: { "/s/k": identity("2") } }]) },
    ];
    test("a change of anything a step can see makes it run again", () =>
      withWorkspace(async (workspace) => {
        await writeFile(join(workspace.keys, "k.key"), "k", { mode: 0o600 });
        await build(workspace, planOf([base]));
        for (const { name: what, plan } of changes) expect(ranSteps((await build(workspace, plan)).events), what).toEqual(["a"]);
      }));

    test("files are fetched once, and only when a step that must run needs them", () =>
      withWorkspace(async (workspace) => {
        const step = scriptStep("use", "cat /in/f/* > /out/result", { inputs: { "/in/f": { kind: "fetched", step: "fetch" } } });
        await build(workspace, planOf([fetchStep("fetch", ["a", "b"]), step]));
        await build(workspace, planOf([fetchStep("fetch", ["a", "b"]), step]));
        await build(workspace, planOf([fetchStep("fetch", ["a", "b", "c"]), step]));
        expect(workspace.fetched).toEqual(["a", "b", "c"]);
      }));

    test("only what the targets need is built", () =>
      withWorkspace(async (workspace) => {
        const { events, report } = collectEvents();
        const plan = planOf([scriptStep("a", "touch /out/result"), scriptStep("b", "exit 1")]);
        const result = await createEngine(workspace).run(plan, { report, targets: [output("a")] });
        expect(result.records.map(({ id }) => id)).toEqual(["a"]);
        expect(events[0]).toMatchObject({ type: "plan", steps: 1 });
      }));
  });

  describe(`engine ${name}: folders kept between runs`, () => {
    const caches = { "/cache/count": { name: "count" } };
    /** Counts its runs in the kept folder; the number it got is its output. */
    const counting = (id: string, more: Partial<ExecStep> = {}) => {
      const script =
        "n=$(cat /cache/count/n 2>/dev/null || echo 0); echo $((n + 1)) > /cache/count/n; cp /cache/count/n /out/result";
      return scriptStep(id, `${script} # ${id}`, { caches, ...more });
    };

    const wrong: readonly { readonly name: string; readonly step: ExecStep }[] = [
      { name: "in /out", step: scriptStep("a", "true", { caches: { "/out/x": { name: "x" } } }) },
      { name: "in /tmp", step: scriptStep("a", "true", { caches: { "/tmp/x": { name: "x" } } }) },
      { name: "at a relative path", step: scriptStep("a", "true", { caches: { x: { name: "x" } } }) },
      { name: "whose name climbs out", step: scriptStep("a", "true", { caches: { "/cache": { name: "../steps" } } }) },
      { name: "with a hidden name", step: scriptStep("a", "true", { caches: { "/cache": { name: ".identity" } } }) },
      { name: "without a name", step: scriptStep("a", "true", { caches: { "/cache": { name: "" } } }) },
      {
        name: "over an input",
        step: scriptStep("a", "true", { caches: { "/in": { name: "x" } }, inputs: { "/in/x": { kind: "text", content: "" } } }),
      },
      { name: "in another", step: scriptStep("a", "true", { caches: { "/c": { name: "x" }, "/c/d": { name: "y" } } }) },
      { name: "that is there twice", step: scriptStep("a", "true", { caches: { "/c": { name: "x" }, "/d": { name: "x" } } }) },
    ];
    for (const { name: what, step } of wrong) {
      test(`one ${what} is PLAN_INVALID`, () =>
        withWorkspace(async (workspace) => {
          expect((await failure(workspace, planOf([step]))).error?.code).toBe("PLAN_INVALID");
        }));
    }

    test("what a step leaves there, the next one finds, also by another engine object", () =>
      withWorkspace(async (workspace) => {
        expect(await (await build(workspace, planOf([counting("a")]))).text("a")).toBe("1\n");
        expect(await (await build(workspace, planOf([counting("b")]))).text("b")).toBe("2\n");
      }));

    test("a step that is in the cache does not touch it", () =>
      withWorkspace(async (workspace) => {
        for (const _ of [1, 2]) await build(workspace, planOf([counting("a")]));
        expect(await (await build(workspace, planOf([counting("b")]))).text("b")).toBe("2\n");
      }));

    test("what lies there is in no key and no record; its name and place are", () =>
      withWorkspace(async (workspace) => {
        const step = scriptStep("a", "echo kept >> /cache/count/x; touch /out/result", { caches });
        const full = await build(workspace, planOf([counting("before"), step]));
        const record = ({ result }: typeof full) => result.records.find(({ id }) => id === "a");
        await withWorkspace(async (other) => {
          const empty = await build(other, planOf([step]));
          expect(record(empty)?.key).toBe(record(full)?.key);
          expect(record(empty)?.inputs).toEqual(record(full)?.inputs);
          expect(record(empty)?.step).toEqual(step);
          const renamed = await build(other, planOf([{ ...step, caches: { "/cache/count": { name: "other" } } }]));
          expect(record(renamed)?.key).not.toBe(record(full)?.key);
        });
      }));

    test("it is never an output, and a failed step leaves no output by it", () =>
      withWorkspace(async (workspace) => {
        const step = scriptStep("a", "echo kept > /cache/count/result", { caches });
        expect((await failure(workspace, planOf([step]))).error?.code).toBe("STEP_OUTPUT_MISSING");
        const link = scriptStep("a", "ln -s /cache/count/result /out/result", { caches });
        expect((await failure(workspace, planOf([link]))).error?.code).toBe("STEP_OUTPUT_MISSING");
        const look = scriptStep("look", "ls -A /cache > /out/result 2>&1 || echo none > /out/result");
        expect(await (await build(workspace, planOf([look]))).text("look")).toMatch(/No such file|none/);
      }));

    test("steps with one folder have it one after the other", () =>
      withWorkspace(async (workspace) => {
        const busy = (id: string) =>
          scriptStep(id, `mkdir /cache/count/lock; sleep 0.3; mv /cache/count/lock /tmp/; echo ${id} > /out/result`, { caches });
        const steps = ["a", "b", "c"].map(busy);
        const { report } = collectEvents();
        const { records } = await createEngine(workspace, 3).run(planOf(steps), { report });
        expect(records).toHaveLength(3);
      }));

    test("another cache starts with an empty one, so a second build vouches for the first", () =>
      withWorkspace(async (workspace) => {
        await build(workspace, planOf([counting("a")]));
        await withWorkspace(async (second) => {
          expect(await (await build(second, planOf([counting("a")]))).text("a")).toBe("1\n");
        });
      }));

    test("a stopped step gives it back", () =>
      withWorkspace(async (workspace) => {
        const stop = new AbortController();
        const run = createEngine(workspace).run(planOf([scriptStep("slow", "sleep 600", { caches })]), {
          signal: stop.signal,
          report: (event) => {
            if (event.type === "step-started") setTimeout(() => stop.abort(), 100);
          },
        });
        await expect(run).rejects.toMatchObject({ code: "BUILD_CANCELLED" });
        expect(await (await build(workspace, planOf([counting("a")]))).text("a")).toBe("1\n");
      }));
  });

  describe(`engine ${name}: running`, () => {
    test("independent steps run at the same time", () =>
      withWorkspace(async (workspace) => {
        const steps = ["a", "b"].map((id) => scriptStep(id, `sleep 1; echo ${id} > /out/result`));
        const { report } = collectEvents();
        const { records } = await createEngine(workspace, 2).run(planOf(steps), { report });
        const [a, b] = records.map(({ startedOn, finishedOn }) => ({
          start: Date.parse(startedOn),
          end: Date.parse(finishedOn),
        }));
        expect(Math.max(a?.start ?? 0, b?.start ?? 0)).toBeLessThan(Math.min(a?.end ?? 0, b?.end ?? 0));
      }));

    test("not more of them than allowed", () =>
      withWorkspace(async (workspace) => {
        const steps = ["a", "b", "c"].map((id) => scriptStep(id, `echo ${id} > /out/result`));
        const { events, report } = collectEvents();
        await createEngine(workspace, 1).run(planOf(steps), { report });
        const order = events.filter(({ type }) => type === "step-started" || type === "step-finished").map(({ type }) => type);
        expect(order).toEqual(Array.from({ length: 3 }, () => ["step-started", "step-finished"]).flat());
      }));

    test("a stopped build kills its steps, leaves nothing behind and can be run again", () =>
      withWorkspace(async (workspace) => {
        const stop = new AbortController();
        const slow = (seconds: number) => planOf([scriptStep("slow", `sleep ${seconds}; touch /out/result`)]);
        const started = Date.now();
        const run = createEngine(workspace).run(slow(600), {
          signal: stop.signal,
          report: (event) => {
            if (event.type === "step-started") setTimeout(() => stop.abort(), 100);
          },
        });
        await expect(run).rejects.toMatchObject({ code: "BUILD_CANCELLED" });
        expect(Date.now() - started).toBeLessThan(60_000);
        expect(await readdir(join(workspace.cacheDir, "tmp")).catch(() => [])).toEqual([]);
        expect(ranSteps((await build(workspace, slow(0))).events)).toEqual(["slow"]);
      }));

    test("a build that was stopped before it began does nothing", () =>
      withWorkspace(async (workspace) => {
        const { events, report } = collectEvents();
        const run = createEngine(workspace).run(planOf([scriptStep("a", "touch /out/result")]), {
          report,
          signal: AbortSignal.abort(),
        });
        await expect(run).rejects.toMatchObject({ code: "BUILD_CANCELLED" });
        expect(ranSteps(events)).toEqual([]);
      }));
  });
}

function readText(result: RunResult, step: string, outputName?: string): Promise<string> {
  return readFile(result.pathOf(output(step, outputName)), "utf8");
}

async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}
