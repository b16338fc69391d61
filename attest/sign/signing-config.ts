import { parseJson } from "@secai/formats/canonical-json";
import { integer, list, literal, object, parseShape, type TypeOf, text } from "@secai/formats/shape";
import { SignError } from "./errors.ts";

/** https://github.com/sigstore/protobuf-specs/blob/main/protos/sigstore_trustroot.proto, message SigningConfig. */
const MEDIA_TYPE = "application/vnd.dev.sigstore.signingconfig.v0.2+json";
const MAX_BYTES = 64 << 10;

const time = text(/^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?Z$/, 30);
const serviceShape = object(
  { url: text(/^https?:\/\/[!-~]+$/, 512), majorApiVersion: integer(1, 99), validFor: object({ start: time }, { end: time }) },
  { operator: text(/^[ -~]*$/, 128) },
);
type Service = TypeOf<typeof serviceShape>;
const services = list(serviceShape, { max: 32 });
const selectionShape = object({ selector: literal("ANY", "ALL", "EXACT") }, { count: integer(1, 8) });
type Selection = TypeOf<typeof selectionShape>;
const configShape = object(
  {
    mediaType: literal(MEDIA_TYPE),
    caUrls: services,
    rekorTlogUrls: services,
    rekorTlogConfig: selectionShape,
    tsaUrls: services,
  },
  { oidcUrls: services, tsaConfig: selectionShape },
);

/** The services that a keyless signature needs, chosen for one moment. */
export interface SigningServices {
  readonly certificateAuthority: URL;
  readonly logs: readonly URL[];
  readonly timestampAuthorities: readonly URL[];
}

/** The interfaces that are spoken here; another version of a service is passed over as if it were not listed. */
const CA_VERSION = 1;
const LOG_VERSION = 1;
const TSA_VERSION = 1;

/**
 * A Sigstore signing configuration: which services to speak to is always said by a file, never by a default of this program.
 * @throws FormatError JSON_TOO_LARGE, JSON_MALFORMED, SCHEMA_MISMATCH; SignError SIGNING_CONFIG_UNUSABLE
 */
export function parseSigningConfig(bytes: Uint8Array, now: Date): SigningServices {
  const config = parseShape(configShape, parseJson(bytes, MAX_BYTES), "a Sigstore signing configuration v0.2");
  const [certificateAuthority] = choose(config.caUrls, { selector: "ANY" }, CA_VERSION, now, "certificate authority");
  const logs = choose(config.rekorTlogUrls, config.rekorTlogConfig, LOG_VERSION, now, "transparency log");
  const tsaConfig = config.tsaConfig ?? { selector: "ANY" };
  const timestampAuthorities = choose(config.tsaUrls, tsaConfig, TSA_VERSION, now, "timestamp authority");
  if (certificateAuthority === undefined) throw unusable("a certificate authority", "none");
  return { certificateAuthority, logs, timestampAuthorities };
}

/** One, all, or exactly so many of the services that are valid now, of different operators where several are wanted. */
function choose(all: readonly Service[], { selector, count = 1 }: Selection, version: number, now: Date, what: string): URL[] {
  const usable = all.filter((service) => service.majorApiVersion === version && isValid(service, now));
  const wanted = selector === "ALL" ? usable.length : selector === "ANY" ? 1 : count;
  const chosen = selector === "EXACT" ? oneOfEachOperator(usable) : usable;
  if (wanted === 0 || chosen.length < wanted) throw unusable(`${Math.max(1, wanted)} x ${what}, valid now`, `${chosen.length}`);
  return chosen.slice(0, wanted).map(({ url }) => serviceUrl(url));
}

function oneOfEachOperator(services: readonly Service[]): Service[] {
  const seen = new Set<string>();
  return services.filter(({ operator, url }) => !seen.has(operator ?? url) && seen.add(operator ?? url));
}

function isValid({ validFor: { start, end } }: Service, now: Date): boolean {
  return new Date(start) <= now && (end === undefined || now < new Date(end));
}

/** The identity token goes there: TLS, or this very machine. */
function serviceUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const local = url !== undefined && /^(127\.0\.0\.1|\[::1\]|localhost)$/.test(url.hostname);
  if (url === undefined || (url.protocol !== "https:" && !local) || url.username !== "" || url.search !== "" || url.hash !== "")
    throw unusable("an https address without user, query or fragment", text);
  return url;
}

const unusable = (expected: string, actual: string) => new SignError("SIGNING_CONFIG_UNUSABLE", { expected, actual });
