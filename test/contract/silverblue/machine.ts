import { execFileSync } from "node:child_process";
import { cpSync, globSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { bundleStep } from "../../../pipelines/steps/bundle.ts";
import { top } from "../../../scripts/house/tree.ts";
import type { Bench } from "./bench.ts";
import { basePackages, buildRpms } from "./rpms.ts";

export const REPOSITORY = "registry.example/os/appliance";
export const DIGEST = `sha256:${"ab".repeat(32)}`;

const overlays = ["image/common", "image/silverblue"];
const script = (text: string): string => `#!/bin/bash\n${text}\n`;

/** Programs of the tool root with the libraries that they load. */
const copyPrograms = `
copy() { mkdir -p "machine$2"; cp -L "$1" "machine$2/"; for file in $(ldd "$1" | grep -o '/[^ ]*' | grep -v ' '); do mkdir -p "machine/usr$(dirname "$file")"; cp -Ln "$file" "machine/usr$file"; done; }
for name in cat timeout sleep sort grep; do copy /usr/bin/$name /usr/bin; done
copy /in/node /usr/bin`;

/**
 * A root in which the image's scripts run as they lie in the image: the overlays, a shell, Node, and stand-ins for the system manager, the
 * firewall, the journal and bootc that answer what a test writes into ./machine/stub.
 */
export async function makeMachine(bench: Bench): Promise<void> {
  buildRpms(bench, "machine-rpms", basePackages.slice(0, 1));
  bench.tools(
    `mkdir machine; rpm --root "$PWD/machine" --dbpath /usr/share/rpm -i --nosignature machine-rpms/*.rpm; mkdir -p machine/stub`,
  );
  for (const overlay of overlays) cpSync(join(top, overlay), bench.at("machine"), { recursive: true, force: true });
  bench.tools(copyPrograms);
  const programs = {
    systemctl:
      'case $1 in list-units) cat /stub/failed ;; *) echo "$*" >> /stub/asked; for unit; do :; done; [ -e "/stub/active/$unit" ] ;; esac',
    nft: "cat /stub/rules",
    journalctl: "cat /stub/journal",
    bootc: 'echo "$*" >> /stub/asked; case $1 in status) cat /stub/status.json ;; *) exit "$(cat /stub/bootc)" ;; esac',
  };
  for (const [name, text] of Object.entries(programs)) bench.write(`machine/usr/bin/${name}`, script(text), 0o755);
  bundleUpdate(bench.at("machine/usr/libexec/secure-ai/secai-update.mjs"), bench.at("metafile.json"));
  const verifier =
    'import fs from "node:fs"; fs.writeFileSync("/stub/verified", process.argv.slice(2).join(" ")); process.exit(Number(fs.readFileSync("/stub/verdict", "utf8")));';
  bench.write("machine/usr/libexec/secure-ai/secai-verify.mjs", verifier);
  bench.run("policy", { repository: REPOSITORY, key: `./${releaseKey(bench)}`, out: "./machine" });
}

/** Bundles the adapter with the very command of the image's build, outside its sandbox. */
function bundleUpdate(out: string, metafile: string): void {
  const workspaces = { "@secai/kit": "services-src/kit", "@secai/formats": "attest/formats" };
  const entry = "services-src/kit/programs/secai-update.ts";
  const { run } = bundleStep({ name: "secai-update", entry, workspaces, modules: [], sourceDateEpoch: 0 });
  const place = (word: string): string =>
    word
      .replace(/^\/in\/esbuild$/, join(top, `node_modules/@esbuild/linux-${process.arch}/bin/esbuild`))
      .replace(/(^|=)\/src\//, `$1${top}/`)
      .replace("/out/bundle.mjs", out)
      .replace("/out/metafile.json", metafile);
  mkdirSync(dirname(out), { recursive: true });
  const [program = "", ...args] = run.map(place);
  execFileSync(program, args, { cwd: top, stdio: ["ignore", "inherit", "inherit"] });
}

function releaseKey(bench: Bench): string {
  bench.tools("openssl ecparam -name prime256v1 -genkey -noout | openssl ec -pubout -out release.pub 2>/dev/null");
  return "release.pub";
}

export interface Answers {
  readonly failed?: string;
  readonly rules?: string;
  readonly status?: string;
  readonly journal?: string;
  readonly bootc?: string;
  readonly verdict?: string;
  readonly active?: readonly string[];
}

export const deployment = (change: object = {}, signature: unknown = "containerPolicy") => ({
  image: {
    image: { image: `${REPOSITORY}@${DIGEST}`, transport: "registry", signature },
    version: "1.0",
    timestamp: null,
    imageDigest: DIGEST,
    ...change,
  },
  pinned: false,
});
export const status = (slots: object): string =>
  JSON.stringify({
    apiVersion: "org.containers.bootc/v1",
    kind: "BootcHost",
    status: { staged: null, rollback: null, booted: null, ...slots },
  });

const goodRules = ["input", "output", "forward"]
  .map((hook) => `\tchain ${hook} {\n\t\ttype filter hook ${hook} priority filter; policy drop;\n`)
  .join("");

/** Runs one program of the machine, with a service on port 8500 that answers `health`, or none. */
export function onMachine(bench: Bench, argv: readonly string[], answers: Answers = {}, health?: number) {
  const { failed = "", rules = goodRules, journal = "", bootc = "0", verdict = "0", active = [] } = answers;
  bench.tools("rm -rf machine/stub; mkdir -p machine/stub/active; : > machine/stub/asked");
  const files = { failed, rules, journal, bootc, verdict, "status.json": answers.status ?? status({ booted: deployment() }) };
  for (const [name, text] of Object.entries(files)) bench.write(`machine/stub/${name}`, text);
  for (const unit of active) bench.write(`machine/stub/active/${unit}`, "");
  const server = `require("http").createServer((q, r) => { r.statusCode = q.url === "/health" ? ${health} : 404; r.end(); }).listen(8500, "127.0.0.1", () => console.log("ready"))`;
  const quoted = argv.map((one) => `'${one}'`).join(" ");
  const output = bench.tools(`
    mkdir -p machine/dev; touch machine/dev/null machine/dev/kmsg; mount --bind /dev/null machine/dev/null
    ${health === undefined ? "" : `coproc SERVER { exec /in/node -e '${server}'; }; read -r _ <&"\${SERVER[0]}"`}
    ended=0; chroot machine ${quoted} < /dev/null || ended=$?
    echo "status $ended"`);
  const lines = output.trimEnd().split("\n");
  return {
    status: Number(lines.at(-1)?.slice("status ".length)),
    output: lines.slice(0, -1).join("\n"),
    asked: bench.read("machine/stub/asked"),
  };
}

/** Every script that the overlays bring for greenboot, by its path in the image. */
export function greenbootScripts(): readonly string[] {
  const scripts = globSync("usr/lib/greenboot/**/*.sh", { cwd: join(top, "image/silverblue") }).sort();
  return scripts.map((path) => `/${path}`);
}
