import type { AuditLog } from "@secai/kit/audit";
import type { JsonValue } from "@secai/kit/digest";
import { errorFields, type Log } from "@secai/kit/log";
import { createRateLimiter, type RateLimiter } from "@secai/kit/rate-limit";
import type { Clock } from "@secai/kit/sources";

/** Refusals of one caller that get a record each; further ones are counted, so that none pushes older records out of the audit log. */
const RECORDED = { perMinute: 2, burst: 20 };
const SUMMARY_MS = 15 * 60_000;

export interface Refusals {
  /** Records it, or counts it if the caller has had many refusals lately. @throws KitError AUDIT_UNAVAILABLE */
  record(type: string, caller: string, data: { readonly [key: string]: JsonValue }): Promise<void>;
  /** Records how many were only counted. @throws KitError AUDIT_UNAVAILABLE */
  summarise(): Promise<void>;
  /** Also from time to time by itself, until then. */
  close(): void;
}

interface Account {
  readonly limiter: RateLimiter;
  unrecorded: number;
}

/** One account a caller: whoever floods hides no other's refusals. Callers are scopes, of which there are few. */
export function createRefusals(parts: {
  readonly audit: Pick<AuditLog, "append">;
  readonly clock: Clock;
  readonly log: Log;
}): Refusals {
  const { audit, clock, log } = parts;
  const accounts = new Map<string, Account>();

  function accountOf(caller: string): Account {
    const account = accounts.get(caller) ?? { limiter: createRateLimiter(RECORDED), unrecorded: 0 };
    accounts.set(caller, account);
    return account;
  }

  async function summarise(): Promise<void> {
    for (const [caller, account] of accounts) {
      const { unrecorded } = account;
      if (unrecorded === 0) continue;
      await audit.append("refusals_unrecorded", { caller, count: unrecorded });
      account.unrecorded -= unrecorded;
    }
  }

  const timer = setInterval(() => {
    summarise().catch((error: unknown) => log("error", "refusals are not on record", errorFields(error)));
  }, SUMMARY_MS);
  return {
    async record(type, caller, data) {
      const account = accountOf(caller);
      if (account.limiter.take(clock.monotonicMs())) await audit.append(type, { ...data, caller });
      else account.unrecorded += 1;
    },
    summarise,
    close: () => clearInterval(timer),
  };
}
