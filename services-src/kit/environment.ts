import { KitError } from "./errors.ts";

// Apart from config.ts: who reads no YAML needs no parser for it in its bundle.

export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The named settings, once, frozen. An empty value is a mistake, not a wish for the default.
 * @throws KitError CONFIG_MISSING
 */
export function readEnvironment<Name extends string>(
  environment: Environment,
  defaults: Readonly<Record<Name, string | undefined>>,
): Readonly<Record<Name, string>> {
  const values = Object.entries<string | undefined>(defaults).map(([name, fallback]) => {
    const value = environment[name] ?? fallback;
    if (value === undefined || value === "")
      throw new KitError("CONFIG_MISSING", { expected: `${name} to be set`, actual: "nothing" });
    return [name, value] as const;
  });
  return Object.freeze(Object.fromEntries(values)) as Readonly<Record<Name, string>>;
}
