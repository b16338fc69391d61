import { PipelineError } from "../errors.ts";

interface LockEntry {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
  readonly link?: boolean;
  readonly resolved?: string;
}

/** The part of package-lock.json (lockfileVersion 3) that says what depends on what. */
export interface NpmLock {
  readonly packages: Readonly<Record<string, LockEntry>>;
}

export interface NpmClosure {
  /** Our own workspaces, by package name: their folder in the repository. */
  readonly workspaces: Readonly<Record<string, string>>;
  /** Installed packages of others, as paths from the top of the repository, sorted. */
  readonly modules: readonly string[];
}

/** Where Node would find `name` for code in `folder`: the nearest node_modules upwards. */
function resolve(lock: NpmLock, folder: string, name: string): string | undefined {
  for (let at = folder; ; at = at.slice(0, Math.max(0, at.lastIndexOf("/")))) {
    const candidate = at === "" ? `node_modules/${name}` : `${at}/node_modules/${name}`;
    if (lock.packages[candidate] !== undefined) return candidate;
    if (at === "") return undefined;
  }
}

/**
 * Everything that code of one workspace can import at run time, from the lockfile alone.
 * @throws PipelineError SOURCE_MISSING when the lockfile does not know the workspace or a dependency
 */
export function npmClosure(lock: NpmLock, workspace: string): NpmClosure {
  const workspaces: Record<string, string> = {};
  const modules = new Set<string>();
  const visit = (path: string) => {
    const entry = lock.packages[path];
    if (entry === undefined) throw new PipelineError("SOURCE_MISSING", { expected: path, actual: "not in package-lock.json" });
    for (const name of Object.keys({ ...entry.dependencies, ...entry.peerDependencies })) {
      const found = resolve(lock, path, name);
      if (found === undefined)
        throw new PipelineError("SOURCE_MISSING", { expected: `${name}, needed by ${path}`, actual: "not in package-lock.json" });
      const target = lock.packages[found];
      if (target?.link === true && target.resolved !== undefined) {
        if (workspaces[name] !== undefined) continue;
        workspaces[name] = target.resolved;
        visit(target.resolved);
      } else if (!modules.has(found)) {
        modules.add(found);
        visit(found);
      }
    }
  };
  visit(workspace);
  return { workspaces, modules: [...modules].sort() };
}
