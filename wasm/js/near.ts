// Messages to objects of this program, and parts of values that are here.
import { report } from "./errors.js";
import { Referenceable, callNear, slotOf, withCall } from "./objects.js";
import { LocalPromiseState, PromiseState, RemotePromiseState, type Wanted } from "./promise.js";
import { GET, deliver, type Sender } from "./reference.js";
import { homeTub, inTurn } from "./turns.js";
import { putMessage, stateOf } from "./values.js";

let farFunctions = 0, nearFunctions = 0;

/** Whether functions given to `_map` are being called. */
export const recorded = {
  /** One is, and what it sends is recorded, to be done for each item over there. */
  get isFar(): boolean {
    return farFunctions > 0;
  },
  /** One is, with an item that is here. */
  get isHere(): boolean {
    return nearFunctions > 0;
  },

  /** Calls a function while what it sends is recorded. */
  far(f: () => unknown): unknown {
    farFunctions++;
    try {
      return notAsync(f());
    } finally {
      farFunctions--;
    }
  },

  /** Calls one for items that are here; it has to be good for others, too. */
  here(f: () => unknown[]): unknown[] {
    nearFunctions++;
    try {
      return f().map(notAsync);
    } finally {
      nearFunctions--;
    }
  },
};

function notAsync(result: unknown): unknown {
  if (!(result instanceof Promise)) return result;
  // Why it failed is said below.
  result.catch(() => {});
  throw new TypeError("a function given to _map cannot be async: it only says what is to be sent to each item");
}

export function isThenable(value: unknown): value is PromiseLike<unknown> {
  if (value instanceof Promise) return true;
  if ((typeof value !== "object" && typeof value !== "function") || value === null) return false;
  try {
    const { then } = value as { then?: unknown };
    // A peer's function under that name makes no promise.
    return typeof then === "function" && !stateOf(then);
  } catch {
    // Whoever asks again will see what it throws.
    return true;
  }
}

/** The part of a value at the end of a path. */
export function partOf(value: unknown, path: (string | number)[]): unknown {
  for (const [index, key] of path.entries()) {
    const state = stateOf<Sender>(value);
    if (state) return state.send(GET, path.slice(index));
    if (typeof value !== "object" || value === null) throw new TypeError("only lists and objects have parts");
    const name = Array.isArray(value) && typeof key === "number" && key < 0 ? value.length + key : key;
    if (!Object.hasOwn(value, name)) throw new TypeError(`there is no ${JSON.stringify(key)} in it`);
    value = (value as Record<string | number, unknown>)[name];
  }
  return value;
}

/** A promise for a value that is here. */
export function promiseOf(value: unknown): unknown {
  const promise = new LocalPromiseState();
  promise.resolve(value);
  return promise.proxy;
}

/** The promises in a value. */
export function* promisesIn(value: unknown): Generator<PromiseState> {
  const state = stateOf(value);
  if (state instanceof PromiseState) yield state;
  else if (!state && typeof value === "object" && value !== null) {
    if (Array.isArray(value) || Object.getPrototypeOf(value) === Object.prototype) {
      for (const part of Object.values(value)) yield* promisesIn(part);
    }
  }
}

/** A value with its promises' values in their places, as a native promise. */
export async function whole(value: unknown): Promise<unknown> {
  const state = stateOf(value);
  if (state instanceof PromiseState || isThenable(value)) return await (value as PromiseLike<unknown>);
  if (Array.isArray(value)) return Promise.all(value.map(whole));
  if (typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype) {
    const entries = Object.entries(value).map(async ([key, part]) => [key, await whole(part)] as const);
    return Object.fromEntries(await Promise.all(entries));
  }
  return value;
}

/** Sends to an object of this program, in a later turn, with arguments as they are. */
export function sendNear(target: unknown, selector: string | null, args: unknown[], wanted: Wanted): unknown {
  if (recorded.isFar) {
    if (!(target instanceof Referenceable || typeof target === "function")) {
      throw new TypeError("a function given to _map can send to what peers can reach only: Referenceables, functions, references and promises");
    }
    const tub = homeTub();
    const handle = deliver(tub, putMessage(selector, args, tub), wanted !== false, -1, slotOf(target, []));
    return wanted && RemotePromiseState.result(tub, handle).proxy;
  }
  const result = wanted === true ? LocalPromiseState.result() : wanted;
  inTurn(() => {
    // Cancelled before its turn came.
    if (result && !result.isPending) return;
    try {
      const value = withCall(
        () => callNear(target, selector, args),
        (abort) => {
          if (!result) return;
          if (result.isPending) result.onCancel = abort;
          // By the method itself.
          else abort(result.value);
        },
      );
      if (result) result.resolve(value);
      else if (value instanceof Promise) value.catch(report);
    } catch (error) {
      if (result) result.smash(error);
      else report(error);
    }
  });
  return result && result.proxy;
}
