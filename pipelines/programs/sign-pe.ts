import { rmSync } from "node:fs";
import { sourceDateEpoch, tool } from "./tool.ts";

/** Files with a certificate and its private key. */
export interface PeKey {
  readonly certificate: string;
  readonly key: string;
}

/** sbsign and systemd-sbsign write the wall clock into the signature; osslsigncode takes the time, so the bytes repeat. */
export function signPe(unsigned: string, signed: string, { certificate, key }: PeKey): void {
  rmSync(signed, { force: true });
  tool("osslsigncode", [
    ...["sign", "-h", "sha256", "-time", String(sourceDateEpoch())],
    ...["-certs", certificate, "-key", key, "-in", unsigned, "-out", signed],
  ]);
}

/** @throws Error unless there is exactly one */
export function only(names: readonly string[], what: string): string {
  const [first, ...rest] = names;
  if (first === undefined || rest.length > 0) throw new Error(`expected one ${what}, found ${names.length}`);
  return first;
}
