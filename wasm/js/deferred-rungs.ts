// What stands on the rungs of a Deferred's ladder, where it is more than a function of the result.
import { CancelledError, TimeoutError } from "./deferred-errors.js";

export type AnyFunction = (...args: any[]) => unknown;

/** Something on a rung that is more than a function of the result. */
export interface Rung {
  run(result: unknown, failed: boolean): unknown;
}

/** A function with more arguments. */
export class Bound implements Rung {
  constructor(readonly f: AnyFunction, readonly args: unknown[]) {}

  run(result: unknown): unknown {
    return this.f(result, ...this.args);
  }
}

/** One function for each side. */
export class Pair implements Rung {
  constructor(readonly callback: AnyFunction, readonly errback: AnyFunction) {}

  run(result: unknown, failed: boolean): unknown {
    return failed ? this.errback(result) : this.callback(result);
  }
}

/** A native promise for the result, which goes on as it is. */
export class Observer implements Rung {
  constructor(readonly resolve: (value: unknown) => void, readonly reject: (error: unknown) => void) {}

  run(result: unknown, failed: boolean): unknown {
    if (!failed) {
      this.resolve(result);
      return result;
    }
    this.reject(result);
    throw result;
  }
}

/** What the alarm of a timeout is set on: the platform's own timers, or those of a test. */
export interface Clock {
  setTimeout(f: () => void, ms: number): unknown;
  clearTimeout(timer: any): void;
}

/** Both rungs of a timeout: the one that sees whether it rang, and the one that stops the clock. */
export class Alarm implements Rung {
  rang = false;
  timer: unknown;
  private isTranslated = false;

  constructor(readonly ms: number, readonly clock: Clock, readonly onTimeout: AnyFunction | undefined) {}

  run(result: unknown, failed: boolean): unknown {
    if (this.isTranslated) {
      if (!this.rang) this.clock.clearTimeout(this.timer);
    } else {
      this.isTranslated = true;
      if (this.rang) {
        if (this.onTimeout) return this.onTimeout(result, this.ms);
        if (failed && result instanceof CancelledError) throw new TimeoutError(this.ms);
      }
    }
    if (failed) throw result;
    return result;
  }
}

export interface TimeoutOptions<T, U> {
  /** Called with the result (usually a `CancelledError`) if the time is up; what it returns is the result then. */
  onTimeout?: (result: T | Error, ms: number) => U;
  /** Whose `setTimeout` is used. Default: the platform's. */
  clock?: Clock;
}
