// The verbs, for those who would rather not call methods on a promise.
import { Referenceable } from "./objects.js";
import { type Sender, sendToObject } from "./remote.js";
import { Tub } from "./tub.js";
import type { AnyRemotePromise, Arrived, Calls, CallsOnly, Target } from "./types.js";
import { stateOf } from "./values.js";

/** Where objects that no tub knows receive their messages. */
let home: Tub | undefined;

/** Sends a message to anything that takes one. */
function senderTo(target: unknown): Pick<Sender, "send" | "sendOnly"> {
  const state = stateOf<Sender>(target);
  if (state) return state;
  if (!(target instanceof Referenceable || typeof target === "function")) {
    throw new TypeError("messages can be sent to promises, references, Referenceables and functions only");
  }
  const tub = (home ??= new Tub());
  return {
    send: (selector, args) => sendToObject(tub, target, true, selector, args),
    sendOnly: (selector, args) => void sendToObject(tub, target, false, selector, args),
  };
}

function methods(call: (selector: string | null, args: unknown[]) => unknown): unknown {
  return new Proxy(() => {}, {
    get: (_target, key) =>
      typeof key === "symbol" || key === "then" ? undefined : (...args: unknown[]) => call(key, args),
    apply: (_target, _this, args: unknown[]) => call(null, args),
  });
}

/**
 * Sends a message to a promise, a reference or a local object, in a later turn.
 *
 * @example
 * ```ts
 * const sum = send(calculator).add(1, 2);
 * ```
 */
export function send<T>(target: Target<T>): Calls<T> {
  const sender = senderTo(target);
  return methods((selector, args) => sender.send(selector, args)) as Calls<T>;
}

/**
 * As {@link send}, but nothing comes back, neither result nor failure.
 *
 * @example
 * ```ts
 * sendOnly(log).write("started");
 * ```
 */
export function sendOnly<T>(target: Target<T>): CallsOnly<T> {
  const sender = senderTo(target);
  return methods((selector, args) => sender.sendOnly(selector, args)) as CallsOnly<T>;
}

/**
 * A native promise for what a promise of any kind is for.
 *
 * @example
 * ```ts
 * const [a, b] = await Promise.all([when(first), when(second)]);
 * ```
 */
export function when<T>(target: AnyRemotePromise<T>): Promise<Arrived<T>>;
export function when<T>(target: T): Promise<Awaited<T>>;
export function when(target: unknown): Promise<unknown> {
  return Promise.resolve(target);
}
