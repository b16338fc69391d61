import type { Baseline } from "@secai/formats/baseline";
import { BaselineError } from "./errors.ts";

type Port = Baseline["ports"][number];

const malformed = (expected: string, actual: string) => new BaselineError("BASELINE_SETTING_MALFORMED", { expected, actual });

/** "127.0.0.1:8500" and "[::1]:8500"; undefined for a Unix socket. */
function parseAddress(text: string): Pick<Port, "address" | "port"> | undefined {
  if (text.startsWith("unix:/")) return undefined;
  const found = /^(?:\[(?<six>[0-9a-f:.]+)\]|(?<four>[0-9.]+)):(?<port>[1-9][0-9]{0,4})$/.exec(text)?.groups;
  const address = found?.six ?? found?.four;
  if (address === undefined || found?.port === undefined) throw malformed("BIND_ADDR=ADDRESS:PORT", text);
  return { address, port: Number(found.port) };
}

/** Where a unit's service listens: its BIND_ADDR, the one definition that the service itself reads. The last of several counts. */
function portOfUnit(unit: string, text: string): Port | undefined {
  const values = [...text.matchAll(/^Environment="?BIND_ADDR=(?<address>[^\s"]*)"?$/gm)];
  const address = values.at(-1)?.groups?.address;
  const parsed = address === undefined ? undefined : parseAddress(address);
  return parsed === undefined ? undefined : { service: unit.replace(/^secure-ai-/, "").replace(/\.service$/, ""), ...parsed };
}

/** Lines `name port path` of health-endpoints. */
function parseEndpoints(text: string): readonly Pick<Port, "service" | "port">[] {
  const lines = text.split("\n").filter((line) => line.trim() !== "" && !line.startsWith("#"));
  return lines.map((line) => {
    const { service, port } = /^(?<service>[a-z0-9-]+) (?<port>[1-9][0-9]{0,4}) \/\S*$/.exec(line)?.groups ?? {};
    if (service === undefined || port === undefined) throw malformed("NAME PORT PATH in health-endpoints", line);
    return { service, port: Number(port) };
  });
}

/**
 * The ports that enabled units listen on. Whatever the health check asks must be among them.
 * @throws BaselineError BASELINE_SETTING_MALFORMED, BASELINE_PORTS_DISAGREE
 */
export function portsOf(enabledUnits: ReadonlyMap<string, string>, endpoints: string): readonly Port[] {
  const ports = [...enabledUnits].map(([name, text]) => portOfUnit(name, text)).filter((port) => port !== undefined);
  for (const { service, port } of parseEndpoints(endpoints)) {
    if (ports.some((one) => one.service === service && one.port === port)) continue;
    throw new BaselineError("BASELINE_PORTS_DISAGREE", {
      expected: `${service} ${port} among the ports of enabled units`,
      actual: ports.map((one) => `${one.service} ${one.port}`).join(", ") || "none",
    });
  }
  return ports;
}
