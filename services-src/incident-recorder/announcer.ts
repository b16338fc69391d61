import { errorFields, type Log } from "@secai/kit/log";
import type { ContainmentPolicy } from "./policy.ts";
import type { Store } from "./store/store.ts";
import type { Webhooks } from "./webhooks.ts";

export interface AnnouncerParts {
  readonly store: Store;
  readonly webhooks: Webhooks;
  readonly policy: () => ContainmentPolicy;
  readonly log: Log;
}

export interface Announcer {
  /** There may be something to announce about an incident. Nobody waits for it. */
  poke(id: string): void;
  /** Everything that the last end of the process left unannounced. */
  resume(): void;
  close(): Promise<void>;
}

/**
 * Hands what happened to the webhooks, one incident after the other. What an incident has unannounced is part of it on the disk until the
 * messages are queued, so each is sent at least once, whenever the process ends.
 */
export function createAnnouncer({ store, webhooks, policy, log }: AnnouncerParts): Announcer {
  let last: Promise<void> = Promise.resolve();

  async function announce(id: string): Promise<void> {
    const { incident, unannounced = [] } = store.state.incidents.get(id) ?? {};
    if (incident === undefined || unannounced.length === 0) return;
    for (const event of unannounced) await webhooks.announce(policy(), event, incident);
    const change = { announced: unannounced.length };
    await store.transact(() => ({ events: [{ type: "changed", id, change }], result: undefined }), undefined, true);
  }

  function poke(id: string): void {
    if (store.state.incidents.get(id)?.unannounced === undefined) return;
    last = last
      .then(() => announce(id))
      .catch((error: unknown) => log("error", "an announcement is not on the disk", { incident: id, ...errorFields(error) }));
  }

  return {
    poke,
    resume() {
      for (const id of store.state.incidents.keys()) poke(id);
    },
    close: () => last,
  };
}
