import { closed, oneOf } from "@secai/kit/api/common";
import { containmentActions, type IncidentClass, incidentClasses, severities } from "@secai/kit/api/incidents";
import { shape } from "@secai/kit/schema";
import { type Static, type TSchema, Type } from "@sinclair/typebox";

// Closed throughout: an unknown key is an error, because a rule that nobody reads is a rule that does not hold.
const Actions = Type.Array(oneOf(containmentActions), { maxItems: containmentActions.length, uniqueItems: true });

const ClassRule = Type.Object({ severity: oneOf(severities), latched: Type.Boolean(), actions: Actions }, closed);
export type ClassRule = Static<typeof ClassRule>;

const EscalationRule = Type.Object(
  {
    reports: Type.Integer({ minimum: 2, maximum: 1000 }),
    within_seconds: Type.Integer({ minimum: 1, maximum: 86_400 }),
    to: oneOf(severities),
  },
  closed,
);
export type EscalationRule = Static<typeof EscalationRule>;

export const webhookEvents = ["contained", "containment_failed", "escalated", "recovered"] as const;
export type WebhookEvent = (typeof webhookEvents)[number];
const Webhook = Type.Object(
  {
    url: Type.String({ pattern: "^https://[a-z0-9.-]{1,253}(:[0-9]{1,5})?(/[!-~]*)?$", maxLength: 2048 }),
    /** Empty: all of them. */
    events: Type.Array(oneOf(webhookEvents), { maxItems: webhookEvents.length, uniqueItems: true }),
  },
  closed,
);

const perClass = <S extends TSchema>(rule: S) =>
  Type.Object(Object.fromEntries(incidentClasses.map((name) => [name, rule])) as Record<IncidentClass, S>, closed);

export const ContainmentFile = Type.Object(
  {
    version: Type.Literal(1),
    /** All nine: a class without a rule would be one that nothing is done about. */
    classes: perClass(ClassRule),
    /** What is done besides, when a report or an escalation raises an incident above its class's own severity. */
    raised_to: Type.Object({ medium: Actions, high: Actions, critical: Actions }, closed),
    escalation: Type.Partial(perClass(EscalationRule), closed),
    alerting: Type.Object({ webhooks: Type.Array(Webhook, { maxItems: 8 }) }, closed),
  },
  closed,
);
export type ContainmentFile = Static<typeof ContainmentFile>;
export const containmentFile = shape("incident-containment.yaml", ContainmentFile);
