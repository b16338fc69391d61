import { access } from "node:fs/promises";
import { join } from "node:path";
import type { Peer } from "@secai/kit/client";
import { type Environment, readEnvironment } from "@secai/kit/config";
import { tokens } from "@secai/kit/credential-names";
import { readCredential } from "@secai/kit/files";
import { parseAddress } from "@secai/kit/listen";
import { CliError } from "./errors.ts";

export type ServiceName = keyof typeof tokens;

const PORTS: Readonly<Record<ServiceName, number>> = {
  "policy-engine": 8500,
  "runtime-attestor": 8505,
  "integrity-monitor": 8510,
  "incident-recorder": 8515,
  "gpu-integrity-watch": 8495,
};
export const serviceNames = Object.keys(PORTS) as readonly ServiceName[];

/** This appliance, as the command finds it. */
export interface Machine {
  /** The service, to be asked without a credential. */
  open(service: ServiceName): Peer;
  /** The service, with the credential for one scope. @throws KitError CREDENTIAL_MISSING, CREDENTIAL_MALFORMED; CliError CLI_NOT_ROOT */
  peer<S extends ServiceName>(service: S, scope: keyof (typeof tokens)[S] & string): Promise<Peer>;
  /** A file among the credentials: a key, a public half. @throws CliError CLI_NOT_ROOT */
  credential(name: string): Promise<string>;
  /** Below /var/lib/secure-ai. */
  state(path: string): string;
  /** Below /run/secure-ai. */
  runtime(path: string): string;
}

/** @throws KitError CONFIG_MISSING, ADDRESS_NOT_LOCAL */
export function openMachine(environment: Environment): Machine {
  const env = readEnvironment(environment, {
    SECAI_CREDENTIALS: "/var/lib/secure-ai/credentials",
    SECAI_STATE: "/var/lib/secure-ai",
    SECAI_RUNTIME: "/run/secure-ai",
  });
  const open = (service: ServiceName): Peer => {
    // SECAI_INCIDENT_RECORDER_ADDR and so on: for tests, and for services that were told to listen elsewhere.
    const name = `SECAI_${service.toUpperCase().replaceAll("-", "_")}_ADDR`;
    return { name: service, address: parseAddress(environment[name] ?? `127.0.0.1:${PORTS[service]}`) };
  };
  const credential = async (name: string): Promise<string> => {
    await access(env.SECAI_CREDENTIALS).catch((cause: NodeJS.ErrnoException) => {
      if (cause.code !== "EACCES") return;
      throw new CliError("CLI_NOT_ROOT", { expected: "to read the credentials", actual: "EACCES", cause });
    });
    return join(env.SECAI_CREDENTIALS, name);
  };
  return {
    open,
    credential,
    async peer(service, scope) {
      const files: Readonly<Record<string, string>> = tokens[service];
      return { ...open(service), token: await readCredential(await credential(files[scope] ?? scope)) };
    },
    state: (path) => join(env.SECAI_STATE, path),
    runtime: (path) => join(env.SECAI_RUNTIME, path),
  };
}
