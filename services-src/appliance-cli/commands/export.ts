import { createHash } from "node:crypto";
import { basename, resolve } from "node:path";
import { askBytes } from "@secai/kit/client";
import { publicName } from "@secai/kit/credential-names";
import { MAX_FORENSIC_BYTES, verifyForensic } from "@secai/kit/forensic";
import { readPublicKey } from "@secai/kit/signing";
import type { Exit, Invocation } from "../command.ts";
import { CliError } from "../errors.ts";
import { requireFree, writeNewFile } from "../new-file.ts";
import { unresolvedStates } from "../wire.ts";

/** Five thousand incidents, signed and verified without a JIT. */
const EXPORT_LIMIT_MS = 120_000;
const KEY = publicName("incident-recorder-signing.key");

/**
 * The signature is over one exact form, so the file holds the answer byte for byte; nothing is kept of an answer that does not verify.
 * @throws CliError CLI_FILE_EXISTS, CLI_FILE_UNWRITABLE; ForensicError, FormatError for what the recorder's key did not sign
 */
export async function exportForensic({ machine, out, flags }: Invocation, words: readonly string[]): Promise<Exit> {
  const [file, ...rest] = words;
  if (file === undefined || file === "" || rest.length > 0)
    throw new CliError("CLI_USAGE", { expected: "one file to write", actual: `${words.length}` });
  const path = resolve(file);
  // Asked first: every export is on record, also one that then finds no place.
  await requireFree(path, flags.force);
  const key = await readPublicKey(await machine.credential(KEY));
  const peer = await machine.peer("incident-recorder", "forensic");
  const limits = { timeoutMs: EXPORT_LIMIT_MS, maxAnswerBytes: MAX_FORENSIC_BYTES } as const;
  const bytes = await askBytes(peer, { method: "GET", path: "/api/v1/forensic/export", ...limits });
  const bundle = verifyForensic(bytes, key.export({ format: "pem", type: "spki" }).toString());
  await writeNewFile(path, bytes, flags.force);
  const unresolved = bundle.incidents.filter(({ state }) => unresolvedStates.includes(state)).length;
  const facts = {
    file: path,
    bytes: bytes.length,
    sha256: createHash("sha256").update(bytes).digest("hex"),
    incidents: bundle.incidents.length,
    unresolved,
    audit_head: bundle.audit_head,
    key_id: bundle.signature.key_id,
  };
  const next = `secai verify forensic ${basename(path)} --key ${KEY}`;
  out.table(
    ["WHAT", "IS"],
    [
      ["written", path],
      ["size", `${bytes.length} bytes`],
      ["sha256", facts.sha256],
      ["incidents", `${facts.incidents}, ${unresolved} unresolved`],
      ["audit log", `up to record ${bundle.audit_head.seq}, head ${bundle.audit_head.mac}`],
      ["signature", `verified, key ${facts.key_id}`],
    ],
  );
  out.line(`next, on another machine: ${next}`);
  out.line(`  with the ${KEY} that was kept of this machine before; here it is ${await machine.credential(KEY)}`);
  out.value({ ...facts, next });
  return 0;
}
