import { execFile } from "node:child_process";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { toolCommand } from "../../../pipelines/engine/sandbox.ts";
import { isMachineRoot } from "../../../pipelines/engine/user-namespace.ts";
import { preflight } from "../../../pipelines/preflight.ts";
import { output, planOf, scriptStep, withWorkspace } from "./fixture.ts";
import { localEngine } from "./local-engine.ts";
import { ownersPlan } from "./owners-plan.ts";

const run = promisify(execFile);
const top = join(import.meta.dirname, "..", "..", "..");
const NOBODY = "65534";

/** A place that every user can enter, with this checkout mounted at `repo`, whoever owns it and wherever it lies. */
let place = "";
beforeAll(async () => {
  await preflight(["newuidmap"]);
  place = await mkdtemp(join(tmpdir(), "secai-machine-"));
  await chmod(place, 0o755);
  for (const name of ["repo", "cache"]) await mkdir(join(place, name));
  await writeFile(join(place, "subid"), "nobody:200000:65536\n", { mode: 0o644 });
  await writeFile(join(place, "empty"), "", { mode: 0o644 });
  await chmod(join(place, "cache"), 0o777);
});
afterAll(() => rm(place, { recursive: true, force: true }));

/** Runs a program of this checkout as "nobody", whose subordinate ids are what `subid` says, in a mount namespace of its own. */
async function asNobody(subid: "subid" | "empty", program: string, ...args: string[]): Promise<string> {
  const node = process.execPath.startsWith(top) ? join(place, "repo", relative(top, process.execPath)) : process.execPath;
  const mounts = `mount --bind "${top}" "${place}/repo" && mount --bind "${place}/${subid}" /etc/subuid && mount --bind "${place}/${subid}" /etc/subgid`;
  const drop = `exec setpriv --reuid=${NOBODY} --regid=${NOBODY} --clear-groups "$@"`;
  const script = ["-c", `${mounts} && ${drop}`, "sh", node, join(place, "repo", "test/contract/engine", program), ...args];
  const { stdout } = await run("unshare", ["--mount", "sh", ...script], { cwd: "/", env: { PATH: process.env.PATH ?? "" } });
  return stdout;
}

/** Only root can become another user. An ordinary user who runs these tests proves the same by running them in a user namespace. */
describe.skipIf(!isMachineRoot())("an ordinary user", () => {
  test("builds trees of many owners, with the very digests that root gets", () =>
    withWorkspace(async (workspace) => {
      const cacheDir = join(place, "cache", "works");
      const printed = JSON.parse(await asNobody("subid", "namespace-child.ts", cacheDir));
      const { records } = await localEngine(workspace).run(ownersPlan, { report: () => {} });
      expect(printed).toEqual({ machineRoot: false, outputs: records.map(({ outputs }) => outputs) });
      const [entry = ""] = await readdir(join(cacheDir, "steps"));
      expect((await stat(join(cacheDir, "steps", entry))).uid).toBe(Number(NOBODY));
    }));

  test("without subordinate ids gets USER_NAMESPACE_UNAVAILABLE", async () => {
    const printed = await asNobody("empty", "namespace-child.ts", join(place, "cache", "none"));
    expect(JSON.parse(printed)).toEqual({ code: "USER_NAMESPACE_UNAVAILABLE" });
  });

  test("outside of a user namespace gets USER_NAMESPACE_UNAVAILABLE from the engine", async () => {
    const printed = await asNobody("subid", "namespace-child.ts", join(place, "cache", "direct"), "directly");
    expect(JSON.parse(printed)).toEqual({ code: "USER_NAMESPACE_UNAVAILABLE" });
  });

  test("runs a tool of a tool root, as uid 0 inside", () =>
    withToolRoot(async (root) => {
      const command = toolCommand(
        { root, argv: ["sh", "-c", "id -u; cat /proc/self/uid_map"], binds: [], env: {}, network: "none" },
        Number(NOBODY),
      );
      const drop = [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups"];
      const { stdout } = await run("setpriv", [...drop, ...command], { cwd: "/" });
      expect(stdout).toMatch(new RegExp(`^0\\n\\s*0\\s+${NOBODY}\\s+1\\n$`));
    }));
});

describe("toolCommand", () => {
  const tool = async (root: string, script: string, more: Partial<Parameters<typeof toolCommand>[0]> = {}) => {
    const [program = "", ...args] = toolCommand({
      root,
      argv: ["bash", "-c", script],
      binds: [],
      env: {},
      network: "none",
      ...more,
    });
    return await run(program, args);
  };

  test("keeps stdout and stderr apart, and the exit status", () =>
    withToolRoot(async (root) => {
      expect(await tool(root, "echo out; echo err >&2")).toMatchObject({ stdout: "out\n", stderr: "err\n" });
      await expect(tool(root, "exit 9")).rejects.toMatchObject({ code: 9 });
    }));

  test("reaches the host's loopback only when its network is the host's", () =>
    withToolRoot(async (root) => {
      const server = createServer((socket) => socket.end());
      const port = await new Promise<number>((resolve) => {
        server.listen(0, "127.0.0.1", () => resolve((server.address() as { port: number }).port));
      });
      try {
        const script = `exec 3<>/dev/tcp/127.0.0.1/${port}`;
        await tool(root, script, { network: "host" });
        await expect(tool(root, script)).rejects.toMatchObject({ code: 1 });
      } finally {
        server.close();
      }
    }));

  test("writes only where it may, in a clean environment and the folder asked for", () =>
    withToolRoot(async (root) =>
      withWorkspace(async ({ top: readable, cacheDir: writable }) => {
        const binds = [
          { src: readable, dst: "/in/r", writable: false },
          { src: writable, dst: "/place/w", writable: true },
        ];
        const script = "touch /place/w/ok; (touch /in/r/no /usr/no /no) 2>/dev/null; pwd; env | sort";
        const { stdout } = await tool(root, script, { binds, cwd: "/place/w", env: { A: "b c" } });
        expect(await readdir(writable)).toEqual(["ok"]);
        expect(await readdir(readable)).toEqual([]);
        expect(stdout.split("\n").filter((line) => !/^(SHLVL|_|PWD|PATH)=/.test(line))).toEqual([
          "/place/w",
          "A=b c",
          "HOME=/tmp",
          "LANG=C.UTF-8",
          "TZ=UTC",
          "",
        ]);
      }),
    ));

  test("dies with the process that started it", () =>
    withToolRoot(async (root) => {
      const [program = "", ...args] = toolCommand({ root, argv: ["sleep", "1000.25"], binds: [], env: {}, network: "none" });
      const stop = new AbortController();
      const ended = run(program, args, { signal: stop.signal, killSignal: "SIGKILL" }).catch(
        (error: { code?: string }) => error.code,
      );
      await waitFor(async () => (await processesNamed("1000.25")) > 0);
      stop.abort();
      expect(await ended).toBe("ABORT_ERR");
      await waitFor(async () => (await processesNamed("1000.25")) === 0);
    }));
});

describe("step shell", () => {
  test("opens the sandbox of a step that fails, with its inputs and its command", () =>
    withWorkspace(async ({ cacheDir }) => {
      const program = join(import.meta.dirname, "shell-child.ts");
      const typed = 'cat /in/a; echo "<$STEP>"; touch /out/x; exit 5\n';
      const shell = run("script", ["-qec", `"${process.execPath}" "${program}" "${cacheDir}"`, "/dev/null"]);
      shell.child.stdin?.end(typed);
      const error = await shell.catch((thrown: { code: number; stdout: string }) => thrown);
      expect(error).toMatchObject({ code: 5 });
      expect(error.stdout).toContain("from a\r\n<sh -euc 'exit 3'>");
      expect(await readdir(join(cacheDir, "tmp"))).toEqual([]);
    }));

  test("refuses a step that the plan does not have", () =>
    withWorkspace(async (workspace) => {
      const plan = planOf([scriptStep("a", "true"), scriptStep("b", "true", { inputs: { "/in/a": output("a") } })]);
      await expect(localEngine(workspace).shell(plan, "c", { report: () => {} })).rejects.toMatchObject({ code: "STEP_UNKNOWN" });
    }));
});

/** A root file system with a few of the machine's programs and the libraries they need, which every user can read. */
async function withToolRoot(work: (root: string) => Promise<void>): Promise<void> {
  await withWorkspace(async (workspace) => {
    const copy = `mkdir -p /out/root/usr/bin /out/root/etc; cd /out/root; for d in bin sbin lib lib64; do test ! -L /$d || cp -P /$d .; done
      for p in sh bash cat id env sort touch sleep pwd; do
        cp /usr/bin/$p usr/bin/
        for lib in $(ldd /usr/bin/$p | grep -o '/lib[^ ]*'); do real=$(readlink -f $lib); mkdir -p .$(dirname $real); cp $real .$(dirname $real)/$(basename $lib); done
      done
      loader=$(ldd /usr/bin/cat | grep -o '/lib[^ ]*ld-linux[^ ]*'); mkdir -p ./usr$(dirname $loader); cp $(readlink -f $loader) ./usr$loader`;
    const plan = planOf([scriptStep("root", copy, { made: ["root/"] })]);
    const result = await localEngine(workspace).run(plan, { report: () => {} });
    for (const path of [join(workspace.top, ".."), workspace.cacheDir]) await chmod(path, 0o755);
    await work(result.pathOf(output("root", "root")));
  });
}

/** Counts the processes of this machine that run `sleep ARGUMENT`. */
async function processesNamed(argument: string): Promise<number> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const commands = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")));
  return commands.filter((command) => command === `sleep\0${argument}\0`).length;
}

async function waitFor(condition: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    if (await condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error("it did not happen within 10 s");
}
