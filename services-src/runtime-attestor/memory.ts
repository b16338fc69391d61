import { attestationStates } from "@secai/kit/api/attestation";
import { Count, closed, Digest, Instant, oneOf } from "@secai/kit/api/common";
import { CodedError } from "@secai/kit/errors";
import { exists, readBounded, writeAtomic } from "@secai/kit/files";
import { parseStrictJson } from "@secai/kit/json";
import { shape } from "@secai/kit/schema";
import { type Static, Type } from "@sinclair/typebox";
import { AttestorError } from "./errors.ts";

const MAX_BYTES = 64 * 1024;
/** Roots whose policy digest is remembered; the oldest goes first. */
const MAX_ROOTS = 16;

const Memory = Type.Object(
  {
    schema: Type.Literal(1),
    /** Of the attestation key that was enrolled last; "" while the machine never was. */
    enrolled: Type.String({ pattern: "^([0-9a-f]{64})?$" }),
    /** Of that key's TPM, in the last quote that was believed. */
    counters: Type.Union([Type.Null(), Type.Object({ resetCount: Count, restartCount: Count, clockMs: Count }, closed)]),
    /** What the policy files of a sealed root are, oldest first. */
    policies: Type.Array(Type.Object({ root: Digest, digest: Digest }, closed), { maxItems: MAX_ROOTS }),
    /** The last attestation that was none. It stays when the machine is attested again. */
    last_fault: Type.Union([
      Type.Null(),
      Type.Object(
        { at: Instant, state: oneOf(attestationStates), codes: Type.Array(Type.String({ maxLength: 64 }), { maxItems: 256 }) },
        closed,
      ),
    ]),
    /** What the recorder was told last and need not be told again; "" once the machine is attested. */
    reported: Type.String({ maxLength: 64 }),
    attest_count: Count,
    degrade_count: Count,
    fail_count: Count,
  },
  closed,
);
/** What outlives the attestor's process. */
export type Memory = Static<typeof Memory>;
const memoryShape = shape("attestor's state", Memory);

export const EMPTY_MEMORY: Memory = {
  schema: 1,
  enrolled: "",
  counters: null,
  policies: [],
  last_fault: null,
  reported: "",
  attest_count: 0,
  degrade_count: 0,
  fail_count: 0,
};

/** Undefined: there is none. @throws AttestorError STATE_MALFORMED */
export async function readMemory(path: string): Promise<Memory | undefined> {
  if (!(await exists(path))) return undefined;
  try {
    const value = parseStrictJson(await readBounded(path, MAX_BYTES));
    if (memoryShape.is(value)) return value;
    throw new AttestorError("STATE_MALFORMED", {
      expected: memoryShape.name,
      actual: memoryShape.problems(value, 1)[0]?.pointer ?? "-",
    });
  } catch (cause) {
    if (cause instanceof AttestorError || !(cause instanceof CodedError)) throw cause;
    throw new AttestorError("STATE_MALFORMED", { expected: memoryShape.name, actual: cause.actual ?? cause.code, cause });
  }
}

export async function writeMemory(path: string, memory: Memory): Promise<void> {
  await writeAtomic(path, `${JSON.stringify(memory)}\n`, 0o600);
}

/** The policy digest that this root had before; undefined for a root that was not seen yet. */
export function policyOf({ policies }: Memory, root: string): string | undefined {
  return policies.find((one) => one.root === root)?.digest;
}

/** With the digest of a root that was not seen yet. Pure. */
export function withPolicy(memory: Memory, root: string, digest: string): Memory {
  if (policyOf(memory, root) !== undefined) return memory;
  return { ...memory, policies: [...memory.policies, { root, digest }].slice(-MAX_ROOTS) };
}
