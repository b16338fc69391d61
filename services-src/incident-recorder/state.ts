import type { ContainmentAction, Incident, IncidentClass } from "@secai/kit/api/incidents";
import type { WebhookEvent } from "./policy-schema.ts";
import { isUnresolved } from "./transitions.ts";

/** What is closed by containment and opened by recovery. */
export type Target = "agent" | "airlock" | "registry" | "vault";

/** How far the recovery ceremony of an incident is. Void as soon as `binding` is not that of the incident any more. */
export interface Recovery {
  readonly binding: string;
  readonly acked_at?: string;
  readonly acked_by?: string;
  readonly re_attested_at?: string;
  readonly assurance?: "hardware" | "evaluation";
  readonly attestation_evidence?: string;
  /** The ceremony is done and the targets are being opened. */
  readonly releasing: boolean;
  readonly released: readonly Target[];
  readonly released_at?: string;
}

/** An incident and what the recorder knows about it besides. Never changed, only replaced. */
export interface Stored {
  readonly incident: Incident;
  /** Actions whose request may have arrived: what they closed must be opened again. */
  readonly reached: readonly ContainmentAction[];
  readonly recovery?: Recovery;
  /** Of the evidence's RFC 8785 form. */
  readonly evidenceBytes: number;
  /** Stands for reports that found no room. */
  readonly overflow: boolean;
  /** Happened, and somebody wants to be told: kept until the message is queued, so that no end of the process swallows it. */
  readonly unannounced?: readonly WebhookEvent[];
}

export interface Change {
  readonly incident?: Partial<Omit<Incident, "evidence" | "id">>;
  readonly reached?: readonly ContainmentAction[];
  /** null: void. */
  readonly recovery?: Recovery | null;
  /** Happened besides what is unannounced already. */
  readonly unannounced?: readonly WebhookEvent[];
  /** So many of what was unannounced are queued now, oldest first. */
  readonly announced?: number;
}

/** A report's idempotency key, and what became of the report. `refused`: it was only counted. */
export interface Remembered {
  readonly source: string;
  readonly key: string;
  readonly id: string;
  readonly refused: boolean;
}

/** Everything that ever changes the state; the journal is made of these. */
export type Event =
  | { readonly type: "created"; readonly stored: Stored }
  | { readonly type: "changed"; readonly id: string; readonly change: Change }
  | { readonly type: "evicted"; readonly ids: readonly string[] }
  | { readonly type: "remembered"; readonly remembered: Remembered }
  /** The machine has been attested by hardware once: from now on nothing less will do. */
  | { readonly type: "hardware" }
  /** Nothing but a line on the disk. */
  | { readonly type: "probed" };

/** Idempotency keys that are remembered for one reporter: more than an outbox holds, and no reporter displaces another's. */
export const MAX_KEYS = 1024;

export interface State {
  readonly incidents: ReadonlyMap<string, Stored>;
  /** Incidents ever created: the next one's number. */
  created(): number;
  hardware(): boolean;
  /** The unresolved incident that a report with this identity belongs to. */
  standing(identity: string): Stored | undefined;
  remembered(source: string, key: string): Remembered | undefined;
  /** All of them, oldest first. */
  keys(): Iterable<Remembered>;
  /** Unresolved incidents of one reporter (the overflow ones not counted), and bytes of evidence of all its incidents. */
  usage(source: string): { readonly unresolved: number; readonly evidenceBytes: number };
  /** Applies an event; what it returns takes it back. */
  apply(event: Event): () => void;
  restore(head: { readonly created: number; readonly hardware: boolean }): void;
}

/** Reports with the same identity are one incident. A fingerprint says nothing about another reporter's incidents or another class. */
export function identityOf(incident: {
  readonly class: IncidentClass;
  readonly source: string;
  readonly fingerprint: string;
}): string {
  return `${incident.class} ${incident.source} ${incident.fingerprint}`;
}

export function createState(): State {
  const incidents = new Map<string, Stored>();
  const standing = new Map<string, string>();
  const keys = new Map<string, Map<string, Remembered>>();
  const usage = new Map<string, { unresolved: number; evidenceBytes: number }>();
  let created = 0;
  let hardware = false;

  function count({ incident, evidenceBytes, overflow }: Stored, sign: 1 | -1): void {
    const used = usage.get(incident.source) ?? { unresolved: 0, evidenceBytes: 0 };
    usage.set(incident.source, used);
    used.evidenceBytes += sign * evidenceBytes;
    if (!isUnresolved(incident.state)) return;
    if (!overflow) used.unresolved += sign;
    if (sign === 1) standing.set(identityOf(incident), incident.id);
    else if (standing.get(identityOf(incident)) === incident.id) standing.delete(identityOf(incident));
  }

  function put(id: string, next: Stored | undefined): () => void {
    const before = incidents.get(id);
    if (before !== undefined) count(before, -1);
    if (next === undefined) incidents.delete(id);
    else incidents.set(id, next);
    if (next !== undefined) count(next, 1);
    return () => void put(id, before);
  }

  function remember(remembered: Remembered): () => void {
    const own = keys.get(remembered.source) ?? new Map<string, Remembered>();
    keys.set(remembered.source, own);
    const before = own.get(remembered.key);
    own.delete(remembered.key);
    own.set(remembered.key, remembered);
    const [oldest] = own.keys();
    if (own.size > MAX_KEYS && oldest !== undefined) own.delete(oldest);
    return () => void (before === undefined ? own.delete(remembered.key) : own.set(remembered.key, before));
  }

  function uncount(): void {
    created -= 1;
  }

  function applyAll(undo: readonly (() => void)[]): () => void {
    return () => {
      for (const step of [...undo].reverse()) step();
    };
  }

  return {
    incidents,
    created: () => created,
    hardware: () => hardware,
    standing(identity) {
      const id = standing.get(identity);
      return id === undefined ? undefined : incidents.get(id);
    },
    remembered: (source, key) => keys.get(source)?.get(key),
    *keys() {
      for (const own of keys.values()) yield* own.values();
    },
    usage: (source) => ({ ...(usage.get(source) ?? { unresolved: 0, evidenceBytes: 0 }) }),
    apply(event) {
      switch (event.type) {
        case "created": {
          created += 1;
          const undo = put(event.stored.incident.id, event.stored);
          return applyAll([uncount, undo]);
        }
        case "changed": {
          const before = incidents.get(event.id);
          return before === undefined ? () => {} : put(event.id, withChange(before, event.change));
        }
        case "evicted":
          return applyAll(event.ids.map((id) => put(id, undefined)));
        case "remembered":
          return remember(event.remembered);
        case "probed":
          return () => {};
        case "hardware": {
          const before = hardware;
          hardware = true;
          return () => {
            hardware = before;
          };
        }
      }
    },
    restore(head) {
      ({ created, hardware } = head);
    },
  };
}

export function withChange(before: Stored, { incident, reached, recovery, ...news }: Change): Stored {
  const { recovery: old, unannounced: waiting, ...rest } = before;
  const next = recovery === undefined ? old : recovery;
  const unannounced = [...(waiting ?? []).slice(news.announced), ...(news.unannounced ?? [])];
  return {
    ...rest,
    incident: { ...before.incident, ...incident },
    reached: reached ?? before.reached,
    ...(next === undefined || next === null ? {} : { recovery: next }),
    ...(unannounced.length === 0 ? {} : { unannounced }),
  };
}

/** One change after the other, as one. */
export function bothChanges(one: Change, other: Change): Change {
  const incident = { ...one.incident, ...other.incident };
  return { ...one, ...other, ...(Object.keys(incident).length === 0 ? {} : { incident }) };
}
