import type { Clock } from "@secai/kit/sources";
import { type Violation, violationKey } from "./violation.ts";

export interface Confirmed {
  readonly sure: readonly Violation[];
  /** Whether something has to be looked at again before it is believed. */
  readonly unsure: boolean;
}

/** Believes a violation only when it has stood for `graceMs`: for what passes through wrong states on its way from one right one to another. */
export function createConfirmation(clock: Clock, graceMs: number): (suspected: readonly Violation[]) => Confirmed {
  let since = new Map<string, number>();
  return (suspected) => {
    const now = clock.monotonicMs();
    since = new Map(suspected.map((one) => [violationKey(one), since.get(violationKey(one)) ?? now]));
    const sure = suspected.filter((one) => now - (since.get(violationKey(one)) ?? now) >= graceMs);
    return { sure, unsure: sure.length < suspected.length };
  };
}
