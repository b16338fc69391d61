import type { Incident } from "@secai/kit/api/incidents";
import { ask, type Peer } from "@secai/kit/client";
import { ClientError } from "@secai/kit/client-errors";
import { errorFields, type Log } from "@secai/kit/log";
import { type Outbox, openOutbox } from "@secai/kit/outbox";
import { shape } from "@secai/kit/schema";
import type { Clock } from "@secai/kit/sources";
import { Type } from "@sinclair/typebox";
import type { ContainmentPolicy } from "./policy.ts";
import type { WebhookEvent } from "./policy-schema.ts";

/** What the airlock is asked to post to `destination`, if its own policy allows. */
interface Message {
  readonly [key: string]: string | { readonly [key: string]: string | readonly string[] };
  readonly destination: string;
}

const MAX_WAITING = 256;
const accepted = shape("webhook answer", Type.Object({ status: Type.String({ maxLength: 64 }) }));

export interface Webhooks {
  /** Queues one message a webhook that wants the event. Never throws and never delays containment: what does not fit is counted and logged. */
  announce(policy: ContainmentPolicy, event: WebhookEvent, incident: Incident): Promise<void>;
  waiting(): number;
  /** Given up: the outbox was full or the airlock refused for good. */
  lost(): number;
  close(): Promise<void>;
}

/** Webhooks leave only through the airlock: the recorder itself reaches nothing but this machine. */
export async function openWebhooks(options: {
  readonly directory: string;
  readonly airlock: Peer;
  readonly clock: Clock;
  readonly log: Log;
}): Promise<Webhooks> {
  const { airlock, clock, log } = options;
  const outbox: Outbox<Message> = await openOutbox<Message>({
    ...options,
    maxMessages: MAX_WAITING,
    deliver: (message, key, signal) => deliver(airlock, { ...message, idempotency_key: key }, signal),
  });
  let dropped = 0;
  return {
    async announce({ webhooks }, event, incident) {
      for (const { url, events } of webhooks) {
        if (events.length > 0 && !events.includes(event)) continue;
        await outbox.put(messageOf(url, event, incident, clock.nowMs())).catch((error: unknown) => {
          dropped += 1;
          log("error", "webhook message dropped", { event, incident: incident.id, ...errorFields(error) });
        });
      }
    },
    waiting: () => outbox.size(),
    lost: () => dropped + outbox.refused(),
    close: () => outbox.close(),
  };
}

/** Names and counts only: neither evidence nor a reporter's own words leave the machine this way. */
function messageOf(
  destination: string,
  event: WebhookEvent,
  { id, severity, source, ...incident }: Incident,
  nowMs: number,
): Message {
  const actions = incident.containment_results.map(({ action, success }) => `${action}:${success ? "done" : "failed"}`);
  return {
    destination,
    body: { event, timestamp: new Date(nowMs).toISOString(), incident: id, class: incident.class, severity, source, actions },
  };
}

async function deliver(airlock: Peer, body: unknown, signal: AbortSignal): Promise<"delivered" | "refused"> {
  try {
    await ask(airlock, { method: "POST", path: "/api/v1/webhook", body, response: accepted, statuses: [200, 202], signal });
    return "delivered";
  } catch (error) {
    const status = error instanceof ClientError ? error.status : undefined;
    // 403: the airlock's policy does not allow the destination. Anything else may be another day.
    if (status === 400 || status === 403 || status === 413) return "refused";
    throw error;
  }
}
