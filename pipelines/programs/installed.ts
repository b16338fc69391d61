import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { canonicalJson } from "@secai/formats/canonical-json";
import { install } from "./overlay.ts";

/** A folder of the root, made where it is missing. */
export function folderIn(root: string, path: string): string {
  mkdirSync(join(root, path), { recursive: true, mode: 0o755 });
  return join(root, path);
}

/** Bundles of services, and the sealed list of what the service runner may start (its reader is services-src/kit). */
export function installServices(bundles: string, root: string): void {
  const services: Record<string, { path: string; sha256: string }> = {};
  folderIn(root, "usr/lib/secure-ai/services");
  for (const file of readdirSync(bundles).sort()) {
    const path = `/usr/lib/secure-ai/services/${file}`;
    install(join(bundles, file), join(root, path), 0o644);
    const digest = createHash("sha256")
      .update(readFileSync(join(bundles, file)))
      .digest("hex");
    services[file.replace(/\.mjs$/, "")] = { path, sha256: digest };
  }
  writeFileSync(join(root, "usr/lib/secure-ai/services.json"), `${canonicalJson({ schema: 1, services })}\n`, { mode: 0o644 });
}

/** Programs of ours that units call directly. */
export function installPrograms(programs: string, root: string): void {
  const folder = folderIn(root, "usr/libexec/secure-ai");
  for (const file of readdirSync(programs).sort()) install(join(programs, file), join(folder, file), 0o644);
}
