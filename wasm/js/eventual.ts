// Promises that this program resolves, the verbs that take anything, and the states.
import { Deferred } from "./deferred.js";
import { CancelledError } from "./deferred-errors.js";
import { sendNear } from "./near.js";
import { LocalPromiseState, stateName } from "./promise.js";
import type { Sender } from "./reference.js";
import type { AnyRemotePromise, Arrived, Calls, CallsOnly, RemotePromise, Target } from "./types.js";
import { stateOf } from "./values.js";

/**
 * Settles the promise that it was made with, once; later calls do nothing. If it is dropped before, and the promise was
 * passed to another program, it breaks when the garbage collector finds that out.
 */
export interface Resolver<T> {
  /** Fulfils the promise, or resolves it to another promise, native or ours, or to a Deferred. */
  (value: T | PromiseLike<T> | AnyRemotePromise<T>): void;
  /** Breaks the promise. */
  smash(error: unknown): void;
}

/** Resolvers that were dropped: nobody can resolve their promises any more. */
const forsaken = new FinalizationRegistry<LocalPromiseState>((state) => state.forsake());

/** (The method holds its resolver, because it may be all that is held of it.) */
function smash(_resolver: unknown, state: LocalPromiseState, error: unknown): void {
  state.smash(error);
}

/**
 * A new promise and its resolver. The value may be anything; it has to be passable only if it is to go elsewhere.
 * Messages can be sent to the promise at once: they wait for it.
 *
 * @example
 * ```ts
 * const [counter, resolve] = makePromise<Counter>();
 * const one = send(counter).increment();
 * resolve(new Counter());
 * console.log(await one);
 * ```
 */
export function makePromise<T = any>(): [RemotePromise<T>, Resolver<T>] {
  const state = new LocalPromiseState();
  const resolver = (value: unknown): void => state.resolve(value);
  resolver.smash = (error: unknown): void => smash(resolver, state, error);
  forsaken.register(resolver, state);
  return [state.proxy as RemotePromise<T>, resolver as Resolver<T>];
}

/**
 * A promise for what something becomes: a native promise or another thenable, a {@link Deferred}, a promise of ours
 * (which is returned as it is), or a value.
 *
 * @example
 * ```ts
 * const report = promiseFor(fetch("report.json").then((response) => response.json()));
 * report._then((value) => console.log(value));
 * ```
 */
export function promiseFor<T>(value: T | PromiseLike<T> | Deferred<T>): RemotePromise<T> {
  const known = stateOf(value);
  if (known && "settle" in known) return value as RemotePromise<T>;
  const state = new LocalPromiseState();
  state.resolve(value);
  return state.proxy as RemotePromise<T>;
}

/** What `send` may be told. */
export interface SendOptions {
  /** Cancels the call: its promise breaks with the signal's reason, and whoever works on it is told. */
  signal?: AbortSignal;
}

function senderTo(target: unknown): Pick<Sender, "send" | "sendOnly"> {
  const state = stateOf<Sender>(target);
  if (state) {
    state.turnMagicOff();
    return state;
  }
  if ((typeof target !== "object" || target === null) && typeof target !== "function") {
    throw new TypeError(`messages can be sent to promises, references, objects and functions, not to ${target === null ? "null" : typeof target}`);
  }
  return {
    send: (selector, args) => sendNear(target, selector, args, true),
    sendOnly: (selector, args) => void sendNear(target, selector, args, false),
  };
}

function methods(call: (selector: string | null, args: unknown[]) => unknown): unknown {
  return new Proxy(() => {}, {
    // Names that begin with an underscore are never sent.
    get: (_target, key) =>
      typeof key === "symbol" || key === "then" || key.startsWith("_") ? undefined : (...args: unknown[]) => call(key, args),
    apply: (_target, _this, args: unknown[]) => call(null, args),
  });
}

/**
 * Sends a message in a later turn, to an object of any kind, a promise, or a reference. On a promise it also turns
 * the promise's own methods off, so that each promise is used in one way.
 *
 * @example
 * ```ts
 * const sum = send(calculator).add(1, 2);
 * const slow = send(calculator, { signal: AbortSignal.timeout(1000) }).factor(2n ** 400n);
 * ```
 */
export function send<T>(target: Target<T>, options?: SendOptions): Calls<T>;
export function send<T extends object>(target: T, options?: SendOptions): NearCalls<T>;
export function send(target: unknown, { signal }: SendOptions = {}): unknown {
  const sender = senderTo(target);
  return methods((selector, args) => {
    if (signal?.aborted) {
      const broken = new LocalPromiseState();
      broken.smash(signal.reason);
      return broken.proxy;
    }
    const promise = sender.send(selector, args);
    if (signal) {
      const state = stateOf<LocalPromiseState>(promise)!;
      const abort = (): void => state.cancel(signal.reason ?? new CancelledError());
      signal.addEventListener("abort", abort, { once: true });
      state.react(() => signal.removeEventListener("abort", abort), undefined, false);
    }
    return promise;
  });
}

/** Calls on an object of this program: every method, with arguments of any kind. */
export type NearCalls<T> = {
  readonly [K in keyof T as T[K] extends (...args: any[]) => unknown ? K : never]:
    T[K] extends (...args: infer A) => infer R ? (...args: A) => RemotePromise<R> : never;
} & (T extends (...args: infer A) => infer R ? (...args: A) => RemotePromise<R> : unknown);

/**
 * As {@link send}, but nothing comes back, neither result nor failure: the far side sends no answer. What the method of
 * an object of this program throws is reported.
 *
 * @example
 * ```ts
 * sendOnly(log).write("started");
 * ```
 */
export function sendOnly<T>(target: Target<T>): CallsOnly<T>;
export function sendOnly<T extends object>(target: T): { readonly [K in keyof NearCalls<T>]: (...args: any[]) => void };
export function sendOnly(target: unknown): unknown {
  const sender = senderTo(target);
  return methods((selector, args) => sender.sendOnly(selector, args));
}

/**
 * A native promise for what a promise of any kind is for, or for the value that it is given.
 *
 * @example
 * ```ts
 * const [a, b] = await Promise.all([when(first), when(second)]);
 * ```
 */
export function when<T>(target: AnyRemotePromise<T>): Promise<Arrived<T>>;
export function when<T>(target: T): Promise<Awaited<T>>;
export function when(target: unknown): Promise<unknown> {
  const state = stateOf<LocalPromiseState>(target);
  return state && "settle" in state ? state.when() : Promise.resolve(target);
}

/**
 * What a reference is now: `"eventual"` (a promise that this program will resolve), `"remote"` (one that a peer
 * will), `"near"` (an object or value here), `"far"` (an object elsewhere) or `"broken"`.
 *
 * @example
 * ```ts
 * const [promise, resolve] = makePromise<number>();
 * state(promise); // "eventual"
 * resolve(1);
 * state(promise); // "near"
 * ```
 */
export function state(reference: unknown): "eventual" | "remote" | "near" | "far" | "broken" {
  return stateName(reference);
}
