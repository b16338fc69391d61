/**
 * The in-toto Statement v1, written down from its specification (no schema of it is published):
 * https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md, resource_descriptor.md and digest_set.md.
 */
export const IN_TOTO_STATEMENT = {
  $schema: "http://json-schema.org/draft-07/schema#",
  type: "object",
  required: ["_type", "subject", "predicateType"],
  properties: {
    _type: { const: "https://in-toto.io/Statement/v1" },
    subject: { type: "array", minItems: 1, items: { $ref: "#/definitions/subject" } },
    predicateType: { type: "string", format: "uri" },
    predicate: { type: "object" },
  },
  definitions: {
    subject: {
      type: "object",
      required: ["digest"],
      properties: {
        name: { type: "string" },
        uri: { type: "string", format: "uri" },
        digest: {
          type: "object",
          minProperties: 1,
          // "The value is the hex-encoded, lower-case digest" of the named algorithms.
          properties: {
            sha256: { type: "string", pattern: "^[0-9a-f]{64}$" },
            sha512: { type: "string", pattern: "^[0-9a-f]{128}$" },
          },
          additionalProperties: { type: "string" },
        },
        content: { type: "string", contentEncoding: "base64" },
        downloadLocation: { type: "string", format: "uri" },
        mediaType: { type: "string" },
        annotations: { type: "object" },
      },
    },
  },
} as const;
