import { PublishError } from "./errors.ts";
import type { Repository } from "./github-api.ts";
import type { RestoreSource } from "./restore.ts";

export type PublishTarget =
  | ({ readonly kind: "github" } & Repository)
  | { readonly kind: "dir" | "oci-layout"; readonly path: string };

/** "github:OWNER/REPO", "dir:PATH" or "oci-layout:PATH". @throws PublishError PUBLISH_USAGE */
export function parseTarget(text: string | undefined): PublishTarget {
  const [, kind, rest = ""] = /^([a-z-]+):(.+)$/s.exec(text ?? "") ?? [];
  if (kind === "dir" || kind === "oci-layout") return { kind, path: rest };
  // Names as GitHub has them: an account of letters, digits and single dashes; a repository of these, dots and underscores.
  const [, owner, repo] = /^([A-Za-z0-9](?:-?[A-Za-z0-9]){0,38})\/([A-Za-z0-9._-]{1,100})$/.exec(rest) ?? [];
  if (kind === "github" && owner !== undefined && repo !== undefined && !/^\.{1,2}$/.test(repo)) return { kind, owner, repo };
  throw new PublishError("PUBLISH_USAGE", {
    expected: "--to github:OWNER/REPO, dir:PATH or oci-layout:PATH",
    actual: text ?? "no --to",
  });
}

/** "assets:DIR" or "oci-layout:DIR". @throws PublishError PUBLISH_USAGE */
export function parseRestoreSource(text: string): RestoreSource {
  const [, kind, path = ""] = /^([a-z-]+):(.+)$/s.exec(text) ?? [];
  if (kind === "assets" || kind === "oci-layout") return { kind, path };
  throw new PublishError("PUBLISH_USAGE", { expected: "--restore assets:DIR or oci-layout:DIR", actual: text });
}
