import { ReleaseError } from "../errors.ts";
import type { ReleaseIo } from "../gate/io.ts";
import { remakeRelease } from "../remake.ts";
import { obstaclesIn, parseTarget } from "./check.ts";
import { answer, COMMON_HELP, commonOptions, directoryFrom, ownSigners, parseOptions } from "./options.ts";

const help = `secai release promote DIR --to DESIGNATION [--out DIR] [--apply]: makes a candidate of a release, or a stable one of a candidate.

Not a bit of the image changes: manifest, channel and checksums are made and signed anew, when nothing stands in the way (secai release check).

  --to DESIGNATION      candidate or stable
  --out DIR             where the promoted release goes (default: in place of DIR)
${COMMON_HELP}

Examples:
  secai release promote out/debian-13/0.1.0 --to stable
  secai release promote out/debian-13/0.1.0 --to stable --out out/stable/0.1.0 --apply
`;

/** `secai release promote`. @throws ReleaseError RELEASE_NOT_READY, GateError, SignError, FormatError */
export async function runPromote(args: readonly string[], io: ReleaseIo): Promise<number> {
  const { values, positionals } = parseOptions(args, { ...commonOptions, to: { type: "string" }, out: { type: "string" } });
  if (values.help === true) {
    io.stdout(help);
    return 0;
  }
  const { dir } = directoryFrom(positionals);
  const target = parseTarget(values.to ?? "");
  if (target === "dev") throw new ReleaseError("RELEASE_USAGE", { expected: "candidate or stable", actual: target });
  const out = values.out ?? dir;
  const obstacles = await obstaclesIn(dir, target, values, io);
  if (obstacles.length > 0) {
    const named = obstacles.map(({ code, detail }) => `${code} (${detail})`);
    throw new ReleaseError("RELEASE_NOT_READY", { expected: `a release ready for ${target}`, actual: named.join("; ") });
  }
  if (values.apply === true) await remakeRelease(dir, out, async () => {}, { ...(await ownSigners(io)), designation: target });
  const done = values.apply === true ? "promoted" : "would promote (run with --apply)";
  answer(io, values.json, { dir, out, target, applied: values.apply === true }, `${done} ${dir} to ${target} at ${out}\n`);
  return 0;
}
