import { Type } from "@sinclair/typebox";
import { type HttpErrorCode, httpErrors } from "./errors.ts";
import type { Endpoint } from "./route.ts";
import { shape } from "./schema.ts";

export const errorShape = shape(
  "error",
  Type.Object({ code: Type.String(), message: Type.String(), requestId: Type.String() }, { additionalProperties: false }),
);

/** The OpenAPI 3.1 page of a service, made of the very schemas that its requests are checked with. */
export function openApi(title: string, version: string, endpoints: readonly Endpoint[]): Record<string, unknown> {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const endpoint of endpoints)
    paths[endpoint.path] = { ...paths[endpoint.path], [endpoint.method.toLowerCase()]: operation(endpoint) };
  return {
    openapi: "3.1.0",
    info: { title, version },
    paths,
    components: { securitySchemes: Object.fromEntries(scopes(endpoints).map((scope) => [scope, bearer])) },
  };
}

const bearer = { type: "http", scheme: "bearer" } as const;

function scopes(endpoints: readonly Endpoint[]): readonly string[] {
  return [...new Set(endpoints.flatMap(({ access }) => (access === "open" ? [] : access)))].sort();
}

function operation(endpoint: Endpoint): Record<string, unknown> {
  return {
    summary: endpoint.summary,
    security: endpoint.access === "open" ? [] : endpoint.access.map((scope) => ({ [scope]: [] })),
    ...(endpoint.request === undefined
      ? {}
      : { requestBody: { required: true, content: { "application/json": { schema: endpoint.request.schema } } } }),
    responses: { "200": success(endpoint), ...failures(endpoint) },
  };
}

function success({ response }: Endpoint): Record<string, unknown> {
  if (response === undefined) return { description: "text", content: { "text/plain": { schema: { type: "string" } } } };
  return { description: response.name, content: { "application/json": { schema: response.schema } } };
}

function failures(endpoint: Endpoint): Record<string, unknown> {
  const codes = Object.entries(errors(endpoint)).sort();
  const content = { "application/json": { schema: errorShape.schema } };
  const statuses = [...new Set(codes.map(([, status]) => status))].map((status) => {
    const here = codes.filter(([, other]) => other === status).map(([code]) => code);
    return [String(status), { description: here.join(", "), content }];
  });
  return Object.fromEntries(statuses);
}

function errors({ request, access, errors: own = {} }: Endpoint): Readonly<Record<string, number>> {
  const body: HttpErrorCode[] =
    request === undefined ? ["HTTP_BODY_UNEXPECTED"] : ["HTTP_BODY_MALFORMED", "HTTP_BODY_SCHEMA", "HTTP_MEDIA_TYPE"];
  const token: HttpErrorCode[] = access === "open" ? [] : ["HTTP_UNAUTHENTICATED", "HTTP_FORBIDDEN", "HTTP_RATE_LIMITED"];
  const common: HttpErrorCode[] = [...body, ...token, "HTTP_BODY_TOO_LARGE", "HTTP_UNAVAILABLE", "HTTP_INTERNAL"];
  return { ...Object.fromEntries(common.map((code) => [code, httpErrors[code].status])), ...own };
}
