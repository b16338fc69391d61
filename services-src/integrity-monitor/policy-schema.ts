import { shape } from "@secai/kit/schema";
import { type Static, Type } from "@sinclair/typebox";

// Closed: an unknown key is an error, because a rule that nobody reads is a rule that does not hold.
const closed = { additionalProperties: false } as const;

/** An absolute path; with a last "/**" everything below that directory. */
const Pattern = Type.String({ pattern: "^(/[^/\\u0000-\\u001f\\u007f*]+)+(/\\*\\*)?$", maxLength: 4096 });
const Folder = Type.String({ pattern: "^(/[^/\\u0000-\\u001f\\u007f*]+)+$", maxLength: 4096 });
const Patterns = Type.Array(Pattern, { maxItems: 256, uniqueItems: true });
const Folders = Type.Array(Folder, { maxItems: 64, uniqueItems: true });
const Uid = Type.Integer({ minimum: 0, maximum: 0xffff_ffff });

export const MonitorPolicyFile = Type.Object(
  {
    version: Type.Literal(1),
    /** Seconds between full looks, whatever events say. */
    scan_interval: Type.Integer({ minimum: 1, maximum: 300 }),
    /** Different violations from which on the machine needs recovery. */
    degradation_threshold: Type.Integer({ minimum: 1, maximum: 100 }),
    rehash: Type.Object(
      {
        /** Every file is read whole at least this often, whatever its times and inode say. */
        interval_minutes: Type.Integer({ minimum: 1, maximum: 10_080 }),
        /** What that may cost, as long as it suffices for the interval. */
        bytes_per_second: Type.Integer({ minimum: 1 << 20, maximum: 2 ** 40 }),
      },
      closed,
    ),
    /** Files of the sealed root. What is right stands in the root itself. */
    sealed: Type.Object(
      { service_binary: Patterns, systemd_unit: Patterns, trust_material: Patterns, policy_file: Patterns },
      closed,
    ),
    /** Files of this machine, by content. What is right was there at the first clean start. */
    state: Type.Object({ trust_material: Patterns, state_file: Patterns }, closed),
    /** Folders of which only names, modes, inodes and sizes are looked at, never content. */
    metadata: Folders,
    units: Type.Object(
      {
        /** Folders of /run from which systemd takes units, and in which nothing may be but `allowed`. */
        empty: Folders,
        /** Those that the sealed generators fill at boot. */
        generated: Folders,
        /** Paths that may be in `empty`. */
        allowed: Type.Array(Folder, { maxItems: 64, uniqueItems: true }),
      },
      closed,
    ),
    models: Type.Object(
      {
        /** Folders in which every entry must be one of the manifest's models. */
        directories: Folders,
        /** The registry's list of models; it is looked at once it is there. */
        manifest: Folder,
      },
      closed,
    ),
    mounts: Type.Object(
      {
        /** Beside those that the verifier expects: mount point and file system types. */
        allowed: Type.Array(
          Type.Object(
            {
              point: Type.Union([Folder, Type.Literal("/")]),
              types: Type.Array(Type.String({ pattern: "^[a-z0-9._]{1,32}$" }), { minItems: 1, maxItems: 8 }),
            },
            closed,
          ),
          { maxItems: 64 },
        ),
      },
      closed,
    ),
    /** Sockets that may take what somebody sends. */
    listeners: Type.Array(
      Type.Object(
        {
          protocol: Type.Union([Type.Literal("tcp"), Type.Literal("udp"), Type.Literal("raw"), Type.Literal("packet")]),
          /** RFC 5952 text; "*" for any, which packet sockets always have. */
          address: Type.String({ pattern: "^([0-9a-f.:]{2,45}|\\*)$" }),
          /** Absent: any. */
          port: Type.Optional(Type.Integer({ minimum: 0, maximum: 65_535 })),
          /** First and last user whose it may be. */
          uids: Type.Tuple([Uid, Uid]),
        },
        closed,
      ),
      { maxItems: 128 },
    ),
    firewall: Type.Object(
      {
        /** Hooks at which a chain of the first ruleset must drop what no rule lets through. */
        drop_hooks: Type.Array(Type.Union([Type.Literal("input"), Type.Literal("output"), Type.Literal("forward")]), {
          minItems: 1,
          maxItems: 3,
          uniqueItems: true,
        }),
      },
      closed,
    ),
  },
  closed,
);
export type MonitorPolicyFile = Static<typeof MonitorPolicyFile>;
export const monitorPolicyFile = shape("integrity-monitor.yaml", MonitorPolicyFile);
