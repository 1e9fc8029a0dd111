// Deferreds. The ladder runs in WebAssembly (core/src/deferred, wasm/src/deferred), which knows Deferreds and callbacks
// by number and values not at all. What the numbers stand for lives here, on the Deferreds themselves, where the
// collector sees it.
//
// A Deferred has a number only while it is under way: before it is first moved the rungs are just a list, and when it
// rests with a value that value is all there is to it. So the usual life of one is a single call into WebAssembly, and
// nothing is left to be freed.
import { AlreadyCalledError, CancelledError } from "./deferred-errors.js";
import { Alarm, type AnyFunction, Bound, Observer, Pair, type Rung, type TimeoutOptions } from "./deferred-rungs.js";
import { platform } from "./platform.js";
import { stateOf } from "./values.js";
import { wasm } from "./wasm.js";

/** What is called with one side, or both; see wasm/src/deferred/ladder.rs. */
const CALLBACK = 0, ERRBACK = 1, BOTH = 2;
/** What a callback gave, for wasm/src/deferred/host.rs; above that, it gave a Deferred. */
const VALUE = 0, FAILURE = 1;
/** So many rungs fit into the number that names their kinds. */
const FEW = 16;
/** Instead of a number: it has none. */
const NONE = -1;
/** No rungs. Nothing may be added to it. */
const NOTHING: OnRung[] = [];

/** A boolean as WebAssembly wants it. */
type Bit = 0 | 1;

/** What becomes of an error that an errback returns: the one that it was given passes on, as a failure. */
type Passed<U> = Error extends U ? Exclude<U, Error> : U;

/** What stands on a rung; undefined where it is done. */
type OnRung = AnyFunction | Rung | Deferred<any> | undefined;

// Numbers.

/** Deferreds by number, those that the calls under way have to do with. */
const live: (Deferred<any> | undefined)[] = [];
/** Their numbers, but for those of Deferreds that have just started. */
const touched: number[] = [];
/** Numbers that may be used again. */
const free: number[] = [];
/** All below this have been used. */
let unused = 0;
const collected = new FinalizationRegistry((link: number) => void free.push(link));

/** Forgets the numbers above that mark: a call is over. */
function leave(mark: number): void {
  joining = undefined;
  while (touched.length > mark) live[touched.pop()!] = undefined;
}

/** What the canceller, or whatever else was called in cancelling, threw. */
let thrown: unknown;
/** The timeout whose alarm rings just now. */
let ringing: Alarm | undefined;
/** The Deferred whose callback has just returned another one. */
let joining: Deferred<any> | undefined;

/** How many callbacks stand inside one another on the stack. */
let depth = 0;
/** So many may before we look at how much of the stack is left. */
const SHALLOW = 64;

/** As arguments they take 64 kB of the stack: what it may take to compile a function that is called for the first time. */
const ROOM = new Array<number>(8000).fill(0);
const takeAny = (..._: number[]): void => {};

/** Throws where little of the stack is left: here, and not within WebAssembly, which could not clean up. */
function checkStack(): void {
  if (depth > SHALLOW) Reflect.apply(takeAny, undefined, ROOM);
}

function rethrow(): never {
  const error = thrown;
  thrown = undefined;
  throw error;
}

/** What WebAssembly calls; see wasm/src/imports.rs. */
export let host: {
  call(link: number, number: number, failed: boolean): number;
  handedOn(from: number, to: number): void;
  failureRests(link: number, rests: boolean): void;
  askCanceller(link: number): boolean;
  fireCancelled(link: number): boolean;
  cancelForeign(link: number): number;
  setAlarm(link: number, number: number): boolean;
  rang(): void;
};

// Failures that nobody handles.

/** What became of a failure: an `await` saw it, or it was reported. */
const UNSEEN = 0, AWAITED = 1, REPORTED = 2;
/** Deferreds that have come to rest with a failure in this task. */
let failed: Deferred<any>[] = [];

/** Tells the hook of an error. */
export function reportUnhandled(error: unknown, deferred: Deferred<any>): void {
  try {
    Deferred.onUnhandledError(error as Error, deferred);
  } catch (another) {
    console.error("marotte: Deferred.onUnhandledError threw:", another);
  }
}

/** True of whatever native promises would wait for. */
function isThenable(value: unknown): value is PromiseLike<unknown> {
  if (typeof value === "object" ? value === null : typeof value !== "function") return false;
  const { then } = value as { then?: unknown };
  // A peer's function under that name makes no promise.
  return typeof then === "function" && !stateOf(then);
}

/** Throws if a Deferred must not be fired with that. */
export function checkValue(value: unknown): void {
  if (!isThenable(value)) return;
  throw new TypeError("a Deferred is fired with a value, not with a promise: return that from a callback, or use fromPromise");
}

function check(f: unknown): void {
  if (typeof f !== "function") throw new TypeError(`a callback must be a function, not ${f === null ? "null" : typeof f}`);
}

/**
 * A result that is not here yet, and what to do when it comes: Twisted's Deferred.
 *
 * Callbacks are called one after the other, each with what the one before it returned; those added later, when the
 * Deferred has fired, are called at once. A callback that throws turns to the errbacks, and an errback that returns
 * turns back to the callbacks. One that returns another Deferred, or a promise, has its result waited for.
 *
 * An errback that returns the very error it was given passes it on, as in Twisted; so does one that throws it. To turn
 * an error into a value, return something else.
 *
 * It can be awaited, any number of times: `await` sees the result as it is by then and leaves it as it is, and a
 * failure counts as handled. A failure that nobody has handled by the end of the task, neither an errback nor an
 * `await`, is reported once: see {@link Deferred.onUnhandledError}.
 *
 * A type checker cannot see what callbacks do to a variable, so go on with what `addCallback` returns. That is the same
 * object.
 *
 * @example
 * ```ts
 * function fetchSoon(url: string): Deferred<string> {
 *   const d = new Deferred<string>(() => clearTimeout(timer));
 *   const timer = setTimeout(() => d.callback(`contents of ${url}`), 10);
 *   return d;
 * }
 * const length = fetchSoon("a")
 *   .addCallback((text) => text.length)
 *   .addErrback((error) => (console.log(error.message), 0));
 * console.log(await length); // 13
 * ```
 */
export class Deferred<T = unknown> implements PromiseLike<T> {
  /**
   * Called once with every failure that nobody handles, in a task after the one in which the Deferred came to rest with
   * it. The default writes to `console.error`. It is no unhandled rejection: that would end a Node process.
   *
   * @example
   * ```ts
   * Deferred.onUnhandledError = (error) => console.log("nobody handled", error.message);
   * fail(new Error("this")); // nobody handled this
   * ```
   */
  static onUnhandledError: (error: Error, deferred: Deferred<any>) => void = (error) => {
    console.error("marotte: a Deferred failed and nobody handled it (use addErrback, or await it):", error);
  };

  /** Its number. */
  #link = NONE;
  #called = false;
  /** The latest result, be it a value or an error. */
  #value: unknown = undefined;
  /** What was made of the error. */
  #seen = UNSEEN;
  /** It is among {@link failed}. */
  #rests = false;
  /** What is to be called, and Deferreds that wait for this one. */
  #rungs = NOTHING;
  /** The number of the first of them. */
  #first = 0;
  /** The kinds of those that WebAssembly was not told of. */
  #kinds = 0;
  #canceller: AnyFunction | undefined;
  /** The Deferred that it waits for. */
  #inner: Deferred<any> | undefined;

  /**
   * A Deferred that you will fire.
   *
   * @param canceller Stops the work that it is for, when somebody cancels it; it may fire the Deferred itself.
   */
  constructor(canceller?: (deferred: Deferred<T>) => void) {
    if (canceller !== undefined) check(canceller);
    this.#canceller = canceller;
  }

  /**
   * A Deferred for what a promise gives. Cancelling it aborts the controller, if there is one; what the promise gives
   * after that is ignored.
   *
   * @example
   * ```ts
   * const controller = new AbortController();
   * const d = Deferred.fromPromise(fetch(url, { signal: controller.signal }), controller);
   * d.addTimeout(1000);
   * ```
   */
  static fromPromise<T>(promise: PromiseLike<T>, controller?: AbortController): Deferred<Awaited<T>> {
    const deferred = new Deferred<Awaited<T>>(controller && (() => controller.abort()));
    Promise.resolve(promise).then(
      (value) => deferred.#called || deferred.#fire(value, 0),
      (error: unknown) => deferred.#called || deferred.#fire(error, 1),
    );
    return deferred;
  }

  /** True once it has fired, be it that its callbacks still run or wait. */
  get called(): boolean {
    return this.#called;
  }

  // Adding rungs.

  /**
   * Has `f` called with the value, and with more arguments if they are given.
   *
   * @example
   * ```ts
   * succeed(20).addCallback((value, factor) => value * factor, 2).addCallback(console.log); // 40
   * ```
   */
  addCallback<U, A extends unknown[] = []>(f: (value: T, ...args: A) => U, ...args: A): Deferred<Awaited<U>> {
    return this.#addFunction(CALLBACK, f, args);
  }

  /**
   * Has `f` called with the error, and with more arguments if they are given.
   *
   * @example
   * ```ts
   * fail(new Error("no")).addErrback((error, text) => text + error.message, "it says ").addCallback(console.log); // it says no
   * ```
   */
  addErrback<U, A extends unknown[] = []>(f: (error: Error, ...args: A) => U, ...args: A): Deferred<T | Passed<Awaited<U>>> {
    return this.#addFunction(ERRBACK, f, args);
  }

  /**
   * Has `f` called with the value or the error, whichever it is. If it returns what it was given, an error stays one.
   *
   * @example
   * ```ts
   * const done = succeed(1).addBoth((result) => {
   *   console.log("closing, whatever it was");
   *   return result;
   * });
   * ```
   */
  addBoth<U, A extends unknown[] = []>(f: (result: T | Error, ...args: A) => U, ...args: A): Deferred<Passed<Awaited<U>>> {
    return this.#addFunction(BOTH, f, args);
  }

  /**
   * Has one of two functions called: `callback` with the value, or `errback` with the error. Unlike an errback that is
   * added after, this one does not see what `callback` throws.
   *
   * @example
   * ```ts
   * succeed(1).addCallbacks((value) => value + 1, (error) => error.message);
   * ```
   */
  addCallbacks<U, V = never>(callback: (value: T) => U, errback?: (error: Error) => V): Deferred<Awaited<U> | Passed<Awaited<V>>> {
    check(callback);
    if (errback === undefined) return this.#add(CALLBACK, callback);
    check(errback);
    return this.#add(BOTH, new Pair(callback, errback));
  }

  #addFunction(kind: number, f: AnyFunction, args: unknown[]): this & Deferred<any> {
    check(f);
    return this.#add(kind, args.length === 0 ? f : new Bound(f, args));
  }

  #add(kind: number, rung: AnyFunction | Rung): this & Deferred<any> {
    checkStack();
    if (this.#link !== NONE) {
      const number = this.#push(rung);
      const mark = this.#enter();
      wasm.deferred_add(this.#link, kind, number);
      leave(mark);
    } else {
      const number = this.#push(rung);
      this.#kinds |= kind << (2 * number);
      // With more than that, it gets a number before it fires.
      if (this.#called) this.#start(0);
      else if (number === FEW - 1) this.#hold();
    }
    return this as this & Deferred<any>;
  }

  /** Puts something on the last rung, and returns the rung's number. */
  #push(rung: OnRung): number {
    if (this.#rungs === NOTHING) this.#rungs = [rung];
    else this.#rungs.push(rung);
    return this.#first + this.#rungs.length - 1;
  }

  // Firing.

  /**
   * Fires it with a value.
   *
   * @throws {AlreadyCalledError} if it has fired before
   * @throws {TypeError} if the value is another Deferred or a promise: return that from a callback, or use
   * {@link Deferred.fromPromise}
   */
  callback(value: T): void {
    checkValue(value);
    this.#fire(value, 0);
  }

  /**
   * Fires it with an error.
   *
   * @throws {AlreadyCalledError} if it has fired before
   */
  errback(error: Error): void {
    this.#fire(error, 1);
  }

  #fire(result: unknown, failed: Bit): void {
    if (this.#called) {
      // The core knows whether this one is let pass.
      if (this.#link !== NONE && wasm.deferred_fire(this.#link, failed)) return;
      throw new AlreadyCalledError();
    }
    checkStack();
    this.#called = true;
    this.#value = result;
    this.#canceller = undefined;
    if (this.#link !== NONE) {
      const mark = this.#enter();
      wasm.deferred_fire(this.#link, failed);
      leave(mark);
    } else if (failed || this.#rungs !== NOTHING) {
      this.#start(failed);
    }
  }

  /**
   * Gives up on the result. If it has not fired, its canceller is called, and if that does not fire it either, it
   * fails with a {@link CancelledError}. If it waits for another Deferred, that one is cancelled. Otherwise nothing
   * happens.
   *
   * @throws what the canceller throws; the Deferred is then as it was
   * @example
   * ```ts
   * const d = new Deferred<string>((d) => d.callback("as far as it got"));
   * d.addCallback(console.log);
   * d.cancel(); // as far as it got
   * ```
   */
  cancel(): void {
    checkStack();
    if (this.#link === NONE) {
      if (this.#called) return;
      this.#hold();
    }
    const mark = touched.length;
    if (this.#enterAll() && !wasm.deferred_cancel(this.#link)) {
      leave(mark);
      rethrow();
    }
    leave(mark);
  }

  /**
   * Holds it: no callback is called until {@link Deferred.unpause} was called as often.
   *
   * @example
   * ```ts
   * const d = succeed(1);
   * d.pause();
   * d.addCallback(console.log);
   * d.unpause(); // 1
   * ```
   */
  pause(): void {
    if (this.#link === NONE) this.#hold();
    wasm.deferred_pause(this.#link);
  }

  /**
   * Takes back one {@link Deferred.pause}.
   *
   * @throws {Error} if there is none to take back
   */
  unpause(): void {
    checkStack();
    if (this.#link !== NONE) {
      const mark = this.#enter();
      const wasPaused = wasm.deferred_unpause(this.#link);
      leave(mark);
      if (wasPaused) return;
    }
    throw new Error("unpause was called more often than pause");
  }

  /**
   * Cancels it unless it has a result in time, after the callbacks that were added before. It then fails with a
   * {@link TimeoutError}, unless the canceller or `onTimeout` gives something else.
   *
   * @example
   * ```ts
   * new Deferred<string>().addTimeout(20, { onTimeout: () => "too late" }).addCallback(console.log); // too late
   * ```
   */
  addTimeout<U = never>(ms: number, { onTimeout, clock = globalThis }: TimeoutOptions<T, U> = {}): Deferred<T | Passed<Awaited<U>>> {
    checkStack();
    const alarm = new Alarm(ms, clock, onTimeout);
    if (this.#link === NONE) this.#hold();
    const number = this.#push(alarm);
    this.#push(alarm);
    const mark = this.#enter();
    const isSet = wasm.deferred_add_timeout(this.#link, number);
    leave(mark);
    if (!isSet) {
      this.#rungs.length -= 2;
      if (this.#rungs.length === 0) this.#rungs = NOTHING;
      rethrow();
    }
    return this as Deferred<any>;
  }

  // As a promise.

  /** A native promise for the result as it is by then. The Deferred goes on with the same result. */
  toPromise(): Promise<T> {
    if (this.#called && this.#link === NONE) return Promise.resolve(this.#value as T);
    return new Promise<T>((resolve, reject) => void this.#add(BOTH, new Observer(resolve as (value: unknown) => void, reject)));
  }

  /** What makes `await` work: the same as `toPromise().then(…)`. */
  then<U = T, V = never>(
    onFulfilled?: ((value: T) => U | PromiseLike<U>) | null,
    onRejected?: ((error: any) => V | PromiseLike<V>) | null,
  ): Promise<U | V> {
    return this.toPromise().then(onFulfilled, onRejected);
  }

  /** `[Deferred pending]`, for one. */
  toString(): string {
    return `[${this.constructor.name} ${!this.#called ? "pending" : this.#inner ? "waiting" : "fired"}]`;
  }

  get [Symbol.toStringTag](): string {
    return "Deferred";
  }

  // Numbers.

  /** Gives it a number. */
  #number(): number {
    return (this.#link = free.pop() ?? unused++);
  }

  /** Gives it a number and a ladder, until the collector finds it. */
  #hold(): void {
    const link = this.#number();
    if (this.#called) wasm.deferred_hold_fired(link);
    else wasm.deferred_hold(link, this.#kinds, this.#rungs.length, this.#canceller === undefined ? 0 : 1);
    this.#kinds = 0;
    collected.register(this, link);
  }

  /** Runs its rungs from the first on. It has a number meanwhile, and after that if it does not rest with a value. */
  #start(failed: Bit): void {
    const link = this.#number();
    const mark = touched.length;
    const kinds = this.#kinds;
    this.#kinds = 0;
    live[link] = this;
    const rests = wasm.deferred_start(link, kinds, this.#rungs.length, failed);
    live[link] = undefined;
    leave(mark);
    if (rests) {
      this.#link = NONE;
      this.#first = 0;
      this.#rungs = NOTHING;
      free.push(link);
    } else {
      collected.register(this, link);
    }
  }

  /** To be found by its number until {@link leave}. */
  #enter(): number {
    const mark = touched.length;
    this.#touch();
    return mark;
  }

  #touch(): void {
    if (live[this.#link] !== undefined) return;
    live[this.#link] = this;
    touched.push(this.#link);
  }

  /** As that, with all that it waits for. False if it waits for itself. */
  #enterAll(): boolean {
    let slow: Deferred<any> = this, odd = false;
    for (let deferred: Deferred<any> | undefined = this; deferred; deferred = deferred.#inner) {
      deferred.#touch();
      if (deferred.#inner === slow) return false;
      if (odd) slow = slow.#inner!;
      odd = !odd;
    }
    return true;
  }

  // What WebAssembly calls, with numbers of the Deferreds that it was called for or told of.

  static {
    host = {
      call: Deferred.#call,
      handedOn: Deferred.#handedOn,
      failureRests: Deferred.#failureRests,
      askCanceller: Deferred.#askCanceller,
      fireCancelled: Deferred.#fireCancelled,
      cancelForeign: Deferred.#cancelForeign,
      setAlarm: Deferred.#setAlarm,
      rang: Deferred.#rang,
    };
  }

  /** Takes what is on a rung. Those before it had no say. */
  #take(number: number): OnRung {
    const rungs = this.#rungs;
    const index = number - this.#first;
    const rung = rungs[index];
    if (index === rungs.length - 1) {
      this.#first += rungs.length;
      this.#rungs = NOTHING;
    } else if (index >= 64 && 2 * index > rungs.length) {
      this.#first += index + 1;
      rungs.splice(0, index + 1);
    } else {
      for (let i = index; i >= 0 && rungs[i] !== undefined; i--) rungs[i] = undefined;
    }
    return rung;
  }

  static #call(link: number, number: number, failed: boolean): number {
    const deferred = live[link]!;
    const rung = deferred.#take(number) as AnyFunction | Rung;
    const given = deferred.#value;
    joining = undefined;
    depth++;
    try {
      if (failed && rung instanceof Observer && deferred.#seen === UNSEEN) deferred.#seen = AWAITED;
      const result = typeof rung === "function" ? rung(given) : rung.run(given, failed);
      if (typeof result === "object" ? result !== null : typeof result === "function") {
        if (failed && result === given) {
          deferred.#value = given;
          return FAILURE;
        }
        if (result instanceof Deferred) return deferred.#join(result);
        if (isThenable(result)) return deferred.#join(Deferred.fromPromise(result));
      }
      deferred.#seen = UNSEEN;
      deferred.#value = result;
      return VALUE;
    } catch (error) {
      if (!failed || error !== given) deferred.#seen = UNSEEN;
      deferred.#value = error;
      return FAILURE;
    } finally {
      depth--;
    }
  }

  /** A callback of this one returned another one. */
  #join(inner: Deferred<any>): number {
    if (inner === this) throw new TypeError("a callback returned the Deferred that called it, which would wait for itself for ever");
    this.#seen = UNSEEN;
    if (inner.#link === NONE) {
      if (inner.#called) {
        // What rests with a value is only that.
        this.#value = inner.#value;
        inner.#value = undefined;
        return VALUE;
      }
      inner.#hold();
    }
    inner.#touch();
    // Whether it is taken at once or waited for, the core will say.
    inner.#push(this);
    this.#inner = inner;
    this.#value = undefined;
    joining = this;
    return inner.#link + FAILURE + 1;
  }

  static #handedOn(from: number, to: number): void {
    const inner = live[from]!;
    let outer: Deferred<any>;
    if (joining !== undefined && joining.#link === to && joining.#inner === inner) {
      outer = joining;
      inner.#rungs.pop();
      if (inner.#rungs.length === 0) inner.#rungs = NOTHING;
    } else {
      let index = 0;
      for (let rung; ; index++) {
        rung = inner.#rungs[index];
        if (rung instanceof Deferred && rung.#link === to) break;
      }
      outer = inner.#take(inner.#first + index) as Deferred<any>;
      outer.#touch();
    }
    outer.#inner = undefined;
    outer.#value = inner.#value;
    outer.#seen = inner.#seen === REPORTED ? REPORTED : UNSEEN;
    inner.#value = undefined;
    inner.#seen = UNSEEN;
  }

  static #failureRests(link: number, rests: boolean): void {
    const deferred = live[link]!;
    if (!rests || deferred.#rests || deferred.#seen !== UNSEEN) {
      deferred.#rests &&= rests;
      return;
    }
    deferred.#rests = true;
    if (failed.push(deferred) === 1) platform.later(Deferred.#reportFailed);
  }

  static #reportFailed(this: void): void {
    const deferreds = failed;
    failed = [];
    for (const deferred of deferreds) {
      if (!deferred.#rests) continue;
      deferred.#rests = false;
      if (deferred.#seen !== UNSEEN) continue;
      deferred.#seen = REPORTED;
      reportUnhandled(deferred.#value, deferred);
    }
  }

  static #askCanceller(link: number): boolean {
    const deferred = live[link]!;
    try {
      deferred.#canceller?.(deferred);
      return false;
    } catch (error) {
      thrown = error;
      return true;
    }
  }

  static #fireCancelled(link: number): boolean {
    try {
      live[link]!.errback(new CancelledError());
      return false;
    } catch (error) {
      thrown = error;
      return true;
    }
  }

  static #cancelForeign(link: number): number {
    const deferred = live[link]!;
    if (deferred.cancel === Deferred.prototype.cancel) return 0;
    try {
      deferred.cancel();
      return 1;
    } catch (error) {
      thrown = error;
      return 2;
    }
  }

  static #setAlarm(link: number, number: number): boolean {
    const deferred = live[link]!;
    const alarm = deferred.#rungs[number - deferred.#first] as Alarm;
    try {
      alarm.timer = alarm.clock.setTimeout(() => deferred.#ring(alarm, number), alarm.ms);
      return false;
    } catch (error) {
      thrown = error;
      return true;
    }
  }

  #ring(alarm: Alarm, number: number): void {
    const before = ringing;
    const mark = touched.length;
    ringing = alarm;
    const isDone = !this.#enterAll() || wasm.deferred_ring(this.#link, number);
    leave(mark);
    ringing = before;
    if (isDone) return;
    const error = thrown;
    thrown = undefined;
    reportUnhandled(error, this);
  }

  static #rang(): void {
    if (ringing) ringing.rang = true;
  }
}

/**
 * A Deferred that has fired with that value.
 *
 * @example
 * ```ts
 * succeed(1).addCallback(console.log); // 1
 * ```
 */
export function succeed<T>(value: T): Deferred<T> {
  const deferred = new Deferred<T>();
  deferred.callback(value);
  return deferred;
}

/**
 * A Deferred that has failed with that error.
 *
 * @example
 * ```ts
 * fail(new Error("no")).addErrback((error) => console.log(error.message)); // no
 * ```
 */
export function fail(error: Error): Deferred<never> {
  const deferred = new Deferred<never>();
  deferred.errback(error);
  return deferred;
}

/**
 * Calls a function, and returns a Deferred for what comes of it, be that a value, a Deferred, a promise or an error.
 *
 * @example
 * ```ts
 * maybeDeferred(JSON.parse, "{").addErrback((error) => console.log(error.name)); // SyntaxError
 * ```
 */
export function maybeDeferred<A extends unknown[], U>(f: (...args: A) => U, ...args: A): Deferred<Awaited<U>> {
  let result: unknown;
  try {
    result = f(...args);
    if (result instanceof Deferred) return result as Deferred<any>;
    if (isThenable(result)) return Deferred.fromPromise(result) as Deferred<any>;
  } catch (error) {
    return fail(error as Error);
  }
  return succeed(result) as Deferred<any>;
}
