import { type Catalogue, CodedError, type ErrorDetail } from "@secai/formats/errors";

export { type Catalogue, CodedError, type ErrorDetail };

/** What can go wrong before a service listens, or in its audit log. Exit statuses: 1 refused, 2 wrong use, 3 undecided. */
export const kitErrors = {
  ADDRESS_NOT_LOCAL: {
    exit: 2,
    meaning: "A service is told to listen where other machines can reach it.",
    fix: "Use 127.0.0.1:PORT, [::1]:PORT or unix:/absolute/path.",
  },
  AUDIT_CHAIN_BROKEN: {
    exit: 1,
    meaning: "A record of an audit log does not follow the one before it: records were removed, repeated or reordered.",
    fix: "Treat the machine as tampered with: keep the log and its anchor as evidence, then move both aside to begin a new chain.",
  },
  AUDIT_MAC: {
    exit: 1,
    meaning: "A record or anchor of an audit log was not written with this log's key, or was edited afterwards.",
    fix: "Treat the machine as tampered with: keep the log and its anchor as evidence, then move both aside to begin a new chain.",
  },
  AUDIT_MISSING: {
    exit: 1,
    meaning: "An audit log or its anchor is gone although the other of the two says that it existed.",
    fix: "Treat the machine as tampered with; restore the missing file, or move the other aside to begin a new chain.",
  },
  AUDIT_TRUNCATED: {
    exit: 1,
    meaning: "An audit log ends before the last record that its anchor vouches for.",
    fix: "Treat the machine as tampered with: keep the log and its anchor as evidence, then move both aside to begin a new chain.",
  },
  AUDIT_UNAVAILABLE: {
    exit: 3,
    meaning: "The audit log cannot be written, so nothing is decided.",
    fix: "Free disk space and check the directory of the audit log.",
  },
  BUNDLE_DIGEST: {
    exit: 1,
    meaning: "A service bundle is not the one the sealed manifest names.",
    fix: "Boot the other slot or install the image again; do not edit the manifest.",
  },
  BUNDLE_MANIFEST: {
    exit: 1,
    meaning: "The sealed service manifest is missing or malformed.",
    fix: "Boot the other slot or install the image again.",
  },
  BUNDLE_UNKNOWN: {
    exit: 2,
    meaning: "The sealed service manifest names no such service.",
    fix: "Use a name that stands in the manifest.",
  },
  CONFIG_MISSING: { exit: 2, meaning: "A setting that has no default is absent.", fix: "Set it in the unit file." },
  CONFIG_SCHEMA: {
    exit: 2,
    meaning: "A configuration file does not have the shape its service demands.",
    fix: "Correct the places named in the message; unknown keys are errors.",
  },
  CONFIG_SYNTAX: {
    exit: 2,
    meaning: "A configuration file is not one plain YAML document without duplicate keys, anchors or tags.",
    fix: "Correct the place named in the message.",
  },
  CREDENTIAL_MALFORMED: {
    exit: 1,
    meaning: "A credential is not 64 lower-case hex digits in a private regular file with one link.",
    fix: "Find out who changed it; then remove it and start secure-ai-credentials.service to make a new one.",
  },
  CREDENTIAL_MISSING: {
    exit: 2,
    meaning: "A credential is absent, and no service starts without its credentials.",
    fix: "Start secure-ai-credentials.service and read its log.",
  },
  CREDENTIAL_SHARED: {
    exit: 1,
    meaning: "Two scopes of a service have the same credential, so one would imply the other.",
    fix: "Remove both files and start secure-ai-credentials.service to make new ones.",
  },
  CREDENTIAL_STORE_UNENCRYPTED: {
    exit: 1,
    meaning: "The directory of the credentials does not lie on a LUKS volume.",
    fix: "Mount the encrypted state volume at /var before the credentials are made.",
  },
  FILE_TOO_LARGE: { exit: 2, meaning: "A file is larger than its reader accepts.", fix: "Use the file that was meant." },
  FILE_UNREADABLE: { exit: 2, meaning: "A file cannot be read as a regular file.", fix: "Check that it exists and is readable." },
  PUBLIC_KEY_MALFORMED: {
    exit: 1,
    meaning: "A file does not hold the public key of one of the appliance's services.",
    fix: "Start secure-ai-credentials.service and read its log.",
  },
  PUBLIC_KEY_MISMATCH: {
    exit: 1,
    meaning: "A public key is not that of the signing key beside it: one of the two was exchanged.",
    fix: "Treat the machine as tampered with; what was signed until now is judged with a copy of the key that was kept elsewhere.",
  },
} as const satisfies Catalogue;

export type KitErrorCode = keyof typeof kitErrors;

export class KitError extends CodedError<KitErrorCode> {
  constructor(code: KitErrorCode, detail?: ErrorDetail) {
    super(code, kitErrors[code], detail);
  }
}

/** What an HTTP client can be told. `status` is the answer's; `exit` is what a command that meets the answer ends with. */
export const httpErrors = {
  HTTP_BODY_MALFORMED: {
    status: 400,
    exit: 2,
    meaning: "The body is not one UTF-8 JSON value without duplicate keys.",
    fix: "Send strict JSON.",
  },
  HTTP_BODY_SCHEMA: {
    status: 400,
    exit: 2,
    meaning: "The body does not have the documented shape.",
    fix: "Compare it with the service's OpenAPI page; unknown fields are errors.",
  },
  HTTP_BODY_TOO_LARGE: { status: 413, exit: 2, meaning: "The body is larger than 64 KiB.", fix: "Send less." },
  HTTP_BODY_UNEXPECTED: { status: 400, exit: 2, meaning: "This request takes no body.", fix: "Send none." },
  HTTP_FORBIDDEN: {
    status: 403,
    exit: 1,
    meaning: "The credential is genuine, but not for this.",
    fix: "Send the credential whose scope the service's OpenAPI page names for this request.",
  },
  HTTP_INTERNAL: { status: 500, exit: 70, meaning: "The service failed; nothing was allowed.", fix: "Read the service's log." },
  HTTP_MEDIA_TYPE: {
    status: 415,
    exit: 2,
    meaning: "The body is not application/json.",
    fix: "Send `Content-Type: application/json`.",
  },
  HTTP_METHOD: {
    status: 405,
    exit: 2,
    meaning: "That path does not take this method.",
    fix: "Use a method of the Allow header.",
  },
  HTTP_NOT_FOUND: {
    status: 404,
    exit: 2,
    meaning: "There is nothing at that path.",
    fix: "Compare it with the service's OpenAPI page.",
  },
  HTTP_RATE_LIMITED: { status: 429, exit: 3, meaning: "Too many requests with wrong credentials.", fix: "Wait a minute." },
  HTTP_UNAUTHENTICATED: {
    status: 401,
    exit: 1,
    meaning: "The bearer token is missing or wrong.",
    fix: "Send the service's token in the Authorization header.",
  },
  HTTP_UNAVAILABLE: {
    status: 503,
    exit: 3,
    meaning: "The answer took too long, so the work for it was stopped; nothing was allowed.",
    fix: "Ask again; if it stays, read the service's log.",
  },
} as const satisfies Readonly<Record<string, Catalogue[string] & { readonly status: number }>>;

export type HttpErrorCode = keyof typeof httpErrors;

export class HttpError extends CodedError<HttpErrorCode> {
  readonly status: number;
  constructor(code: HttpErrorCode, detail?: ErrorDetail) {
    super(code, httpErrors[code], detail);
    this.status = httpErrors[code].status;
  }
}
