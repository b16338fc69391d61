import type { Metrics } from "@secai/kit/metrics";
import type { Store } from "./store/store.ts";
import { summarise } from "./summary.ts";
import type { Webhooks } from "./webhooks.ts";

export function addGauges(metrics: Metrics, store: Store, webhooks: Webhooks): void {
  metrics.gauge("incidents", () => summarise(store.state).total);
  metrics.gauge("incidents_open", () => summarise(store.state).open);
  metrics.gauge("incidents_latched", () => summarise(store.state).latched);
  metrics.gauge("incidents_containment_failed", () => summarise(store.state).containmentFailed);
  metrics.gauge("reports_overflowed", () => summarise(store.state).overflow);
  metrics.gauge("webhooks_waiting", () => webhooks.waiting());
  metrics.gauge("webhooks_lost", () => webhooks.lost());
}
