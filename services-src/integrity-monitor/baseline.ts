import { Count, closed, Digest, Instant, oneOf } from "@secai/kit/api/common";
import { shape } from "@secai/kit/schema";
import { type Static, Type } from "@sinclair/typebox";
import { integrityStates, MAX_KEPT, MAX_SEEN } from "./state.ts";
import { categories, kinds } from "./violation.ts";

export const BASELINE_DOMAIN = "SecAI-Integrity-Baseline-v2";
export const LATCH_DOMAIN = "SecAI-Integrity-Latch-v1";
/** Entries of one part of a baseline. */
export const MAX_ENTRIES = 25_000;
export const MAX_BASELINE_BYTES = 32 << 20;
export const MAX_LATCH_BYTES = 1 << 20;

const PathText = Type.String({ minLength: 1, maxLength: 4096 });
const Entry = Type.Object(
  {
    path: PathText,
    category: oneOf(categories),
    /** "link": the digest is that of its target's text. */
    type: oneOf(["file", "link"]),
    sha256: Digest,
    size: Count,
  },
  closed,
);
export type Entry = Static<typeof Entry>;
const Entries = Type.Array(Entry, { maxItems: MAX_ENTRIES });

const Metadata = Type.Object(
  {
    path: PathText,
    /** Octal, file type and permissions. */
    mode: Type.String({ pattern: "^[0-7]{5,6}$" }),
    /** Decimal: inode numbers have 64 bits. */
    inode: Type.String({ pattern: "^[0-9]{1,20}$" }),
    size: Count,
    uid: Count,
    gid: Count,
  },
  closed,
);
export type Metadata = Static<typeof Metadata>;

export const Baseline = Type.Object(
  {
    schema: Type.Literal(2),
    created_at: Instant,
    /** Counts on with every signing; the latch remembers it, so that an older baseline cannot come back. */
    generation: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
    /** Verity root hash of the root that `release` was read from. */
    root_hash: Digest,
    policy_digest: Digest,
    /** Sorted by path: the sealed root. */
    release: Entries,
    /** Of this boot's kernel and generators, as this release makes them. */
    system: Type.Object(
      {
        unit_files: Entries,
        /** One object of `nft -j list ruleset` a line, without handles and counters. */
        ruleset: Type.Array(Type.String({ maxLength: 65_536 }), { maxItems: 4096 }),
        settings: Type.Record(
          Type.String({ pattern: "^[ -~]{1,256}$" }),
          Type.Union([Type.Null(), Type.String({ maxLength: 512 })]),
          closed,
        ),
      },
      closed,
    ),
    /** Of this machine, whatever release runs. */
    machine: Type.Object({ files: Entries, metadata: Type.Array(Metadata, { maxItems: 4096 }) }, closed),
  },
  closed,
);
export type Baseline = Static<typeof Baseline>;
export const baselineShape = shape("integrity baseline", Baseline);

export const ViolationShape = Type.Object(
  {
    category: oneOf(categories),
    path: Type.String({ pattern: "^[ -~]*$", maxLength: 512 }),
    kind: oneOf(kinds),
    expected: Type.String({ pattern: "^[ -~]*$", maxLength: 256 }),
    actual: Type.String({ pattern: "^[ -~]*$", maxLength: 256 }),
    model: Type.Optional(Type.String({ pattern: "^[ -~]*$", maxLength: 255 })),
  },
  closed,
);

export const LatchFile = Type.Object(
  {
    schema: Type.Literal(1),
    /** Of the baseline that is in force; 0 while there is none. */
    baseline_generation: Count,
    state: oneOf(integrityStates),
    since: Type.Union([Type.Null(), Instant]),
    reasons: Type.Array(ViolationShape, { maxItems: MAX_KEPT }),
    seen: Type.Array(Type.String({ pattern: "^[0-9a-f]{16}$" }), { maxItems: MAX_SEEN }),
    distinct: Type.Integer({ minimum: 0, maximum: MAX_SEEN }),
    reported: Type.Union([Type.Null(), Digest]),
    unreported: Type.Union([Type.Null(), Digest]),
  },
  closed,
);
export type LatchFile = Static<typeof LatchFile>;
export const latchShape = shape("integrity latch", LatchFile);
