import { spawn } from "node:child_process";
import { once } from "node:events";

/** Like `tool`, for tools that run side by side. @throws Error when it fails */
export async function toolAsync(command: string, args: readonly string[]): Promise<void> {
  const child = spawn(command, [...args], { stdio: ["ignore", "inherit", "inherit"] });
  const [status, signal] = (await once(child, "exit")) as [number | null, string | null];
  if (status !== 0) throw new Error(`${command} ended with ${status ?? signal}`);
}
