import { loadKeyring } from "@secai/pipelines/keyring";
import { runKeys } from "@secai/release/keys/command";
import type { CommandIo } from "@secai/verify/command";

/** `secai keys` where images are built: keys of Secure Boot and of PCR policies are made as a build makes them. */
export function runKeysHere(args: string[], io: CommandIo): Promise<number> {
  return runKeys(args, io, {
    nowMs: Date.now,
    makeKeyring: (dir, say) => {
      loadKeyring(dir, say);
    },
  });
}
