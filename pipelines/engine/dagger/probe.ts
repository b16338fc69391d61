import { type SandboxSpec, sandboxCommand } from "../sandbox.ts";
import { answerOf, printable } from "./answers.ts";
import { DaggerError } from "./errors.ts";
import { execErrorOf, type SdkContainer } from "./sdk.ts";

/** The probe ends so when every door is shut; no shell ends so by itself. */
const ALL_SHUT = 42;

/**
 * Tries what no step may, with the shell's own words only, and must fail in all of it: another network namespace than the container's
 * ($1), no interface but loopback, no capability, nothing writable among the tools.
 */
const PROBE = `open=
test "$(readlink /proc/self/ns/net)" != "$1" || open="$open network-namespace"
while read -r name rest; do case "$name" in lo:*|Inter-*|face*) ;; *) open="$open interface-\${name%%:*}";; esac; done < /proc/net/dev
while read -r key value; do if test "$key" = CapEff: && test "$value" != 0000000000000000; then open="$open capabilities"; fi; done < /proc/self/status
for place in / /usr /proc/sys/kernel; do if (: > $place/secai-probe) 2>/dev/null; then open="$open write-$place"; fi; done
if test -n "$open"; then echo "open:$open"; exit 1; fi
exit ${ALL_SHUT}`;

/** Gives the probe the container's network namespace and turns its one good end into success, so that the engine may keep that. */
const WRAPPER = `outer=$(readlink /proc/self/ns/net) || exit 3
status=0
"$@" "$outer" || status=$?
test $status = ${ALL_SHUT}`;

/** The launcher's own programs are the tools of the probe. */
const spec: SandboxSpec = {
  root: { kind: "host" },
  argv: ["sh", "-c", PROBE, "sh"],
  binds: [],
  env: {},
  network: "none",
  privileges: "none",
};

/**
 * Proves on the runner that the sandbox shuts a step in.
 * @throws DaggerError DAGGER_SANDBOX_OPEN, DAGGER_SANDBOX_UNAVAILABLE
 */
export async function probe(launcher: SdkContainer): Promise<void> {
  const args = ["/bin/sh", "-c", WRAPPER, "sh", ...sandboxCommand(spec, 0)];
  try {
    await answerOf(launcher.withExec(args, { insecureRootCapabilities: true }).stdout(), "the probe");
  } catch (error) {
    const { stdout, stderr } = execErrorOf(error) ?? {};
    if (stdout === undefined) throw error;
    const open = /^open: (?<doors>[^\n]+)/m.exec(stdout)?.groups?.doors;
    if (open !== undefined)
      throw new DaggerError("DAGGER_SANDBOX_OPEN", {
        expected: "a probe that can do nothing",
        actual: `open ${printable(open)}`,
      });
    const said = printable(`${stdout} ${stderr}`);
    throw new DaggerError("DAGGER_SANDBOX_UNAVAILABLE", { expected: "a bubblewrap sandbox on the runner", actual: said });
  }
}
