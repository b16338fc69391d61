import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export interface VaultBroker {
  readonly requests: string;
  readonly results: string;
  /** Incidents that keep the vault closed. */
  held(): readonly string[];
  /** What was asked of it, oldest first. */
  readonly actions: readonly string[];
  /** What it answers from now on. */
  answer(how: "success" | "failure" | "nothing"): void;
  stop(): void;
}

/** The vault broker by its files: requests in, results out. It closes nothing, it only keeps count of who asked. */
export function startVaultBroker(folder: string): VaultBroker {
  const [requests, results] = [join(folder, "requests"), join(folder, "results")];
  for (const path of [requests, results]) mkdirSync(path, { recursive: true });
  const holders = new Set<string>();
  const actions: string[] = [];
  let how: "success" | "failure" | "nothing" = "success";
  const timer = setInterval(() => {
    for (const name of existsSync(requests) ? readdirSync(requests) : []) if (name.endsWith(".json")) serve(name);
  }, 20);
  function serve(name: string): void {
    if (how === "nothing") return;
    const { action, incident_id: id } = JSON.parse(readFileSync(join(requests, name), "utf8")) as {
      action: string;
      incident_id: string;
    };
    rmSync(join(requests, name));
    actions.push(`${action} ${id}`);
    if (how === "success" && action === "relock") holders.add(id);
    if (how === "success" && action === "release") holders.delete(id);
    const result =
      how === "success" ? { success: true, incident_id: id } : { success: false, incident_id: id, error: "mount is busy" };
    writeFileSync(join(results, `.${name}`), JSON.stringify(result));
    renameSync(join(results, `.${name}`), join(results, name));
  }
  return {
    requests,
    results,
    held: () => [...holders],
    actions,
    answer(next) {
      how = next;
    },
    stop: () => clearInterval(timer),
  };
}
