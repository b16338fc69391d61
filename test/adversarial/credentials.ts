import { fileURLToPath } from "node:url";
import { endpoints as gpuIntegrityWatch } from "../../services-src/gpu-integrity-watch/api.ts";
import { endpoints as incidentRecorder } from "../../services-src/incident-recorder/api.ts";
import { endpoints as integrityMonitor } from "../../services-src/integrity-monitor/api.ts";
import { containmentTokens, tokens } from "../../services-src/kit/credential-names.ts";
import type { Endpoint } from "../../services-src/kit/route.ts";
import { endpoints as policyEngine } from "../../services-src/policy-engine/api.ts";
import { endpoints as runtimeAttestor } from "../../services-src/runtime-attestor/api.ts";
import type { MatrixAnswer, MatrixQuestion } from "../guest/matrix.ts";
import { expectEqual, expectTrue } from "../vm/expect.ts";
import { GUEST_NODE, pushProgram } from "../vm/guest-program.ts";
import { oncePerRun } from "../vm/once.ts";
import { SERVICES, type ServiceName } from "../vm/services.ts";
import type { Scenario } from "../vm/suite.ts";

const PROGRAM = fileURLToPath(new URL("../guest/matrix.ts", import.meta.url));
/** Wrong for this service, wrong for this endpoint, and too many of either. */
const REFUSED: readonly number[] = [401, 403, 429];

const apis: Readonly<Record<ServiceName, Readonly<Record<string, Endpoint>>>> = {
  "policy-engine": policyEngine,
  "runtime-attestor": runtimeAttestor,
  "integrity-monitor": integrityMonitor,
  "incident-recorder": incidentRecorder,
  "gpu-integrity-watch": gpuIntegrityWatch,
};

interface Door {
  readonly name: string;
  readonly port: number;
  readonly method: string;
  readonly path: string;
  /** Files of the credentials that open it. */
  readonly keys: readonly string[];
}

/** Every endpoint of every service that asks for a credential. */
const doors: readonly Door[] = (Object.keys(apis) as ServiceName[]).flatMap((service) =>
  Object.values(apis[service]).flatMap(({ method, path, access }) => {
    if (access === "open") return [];
    const files: Readonly<Record<string, string>> = tokens[service];
    const keys = access.flatMap((scope) => files[scope] ?? []);
    return [{ name: `${method} ${service}${path}`, port: SERVICES[service].port, method, path, keys }];
  }),
);
const credentials: readonly string[] = [
  ...new Set([...Object.values(tokens).flatMap((files) => Object.values<string>(files)), ...Object.values(containmentTokens)]),
];

/** In one machine: every credential at every door. */
const matrixOf = oncePerRun(async (test): Promise<MatrixAnswer> => {
  const machine = await test.fork();
  const program = await pushProgram(machine, PROGRAM, "matrix");
  const question: MatrixQuestion = {
    endpoints: doors.map(({ port, method, path }) => ({ port, method, path })),
    tokenPaths: credentials.map((file) => `/var/lib/secure-ai/credentials/${file}`),
  };
  const options = { stdin: JSON.stringify(question), timeoutMs: test.bench.limits.settle * 2 };
  return JSON.parse(await machine.succeeds(`${GUEST_NODE} ${program}`, options)) as MatrixAnswer;
});

export const credentialScenarios: readonly Scenario[] = credentials.map((file, row) => {
  const own = doors.filter(({ keys }) => keys.includes(file));
  const opens = own.length === 0 ? "nothing that listens here" : `${own.length} of ${doors.length} endpoints`;
  return {
    id: `credential.${file.replace(/\.token$/, "")}`,
    title: `The credential ${file} opens ${opens} and no other`,
    needs: "fork",
    async run(test) {
      const statuses = (await matrixOf(test))[row] ?? [];
      expectEqual(statuses.length, doors.length, "answers");
      for (const [index, { name, keys }] of doors.entries()) {
        const status = statuses[index] ?? 0;
        if (keys.includes(file)) expectTrue(!REFUSED.includes(status), `${name} to be open`, `${status}`);
        else expectTrue(REFUSED.includes(status), `${name} to be refused`, `${status}`);
      }
    },
  };
});
