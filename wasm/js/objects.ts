// Local objects that others may call, and the slots that WebAssembly knows them by.

declare const brand: unique symbol;

/**
 * The base of objects that are passed by reference. A subclass's methods can be called from afar, by whoever holds
 * a reference; they may be `async`. Names that begin with `_` are private, and so are fields, getters and setters.
 *
 * Arguments and results are, besides references and promises: `null`, `undefined`, booleans, numbers, bigints,
 * strings, bytes (`Uint8Array`, `ArrayBuffer`), errors (by their message), arrays and plain objects. A number that is
 * a safe integer goes as an integer, any other as a float; an integer arrives as a number if it is a safe one, else
 * as a bigint. Whatever cannot be passed throws a `TypeError` at the call, with the path to it:
 * `args[0]["x"][3]: Set is not passable`.
 *
 * @example
 * ```ts
 * class Counter extends Referenceable {
 *   #count = 0;
 *   increment(by = 1) {
 *     this.#count += by;
 *     return this.#count;
 *   }
 * }
 * const tub = new Tub();
 * await tub.listen({ port: 8080 });
 * console.log(tub.registerReference(new Counter(), { name: "counter" }));
 * ```
 */
export class Referenceable {
  /** Tells the type checker that nothing else will do. */
  declare protected readonly [brand]: true;
}

type Method = (this: unknown, ...args: unknown[]) => unknown;

const slots = new WeakMap<object, number>();
const objects: (object | undefined)[] = [];
const free: number[] = [];

/** The slot of an object; a new one if `added` is given, which it is then added to. */
export function slotOf(object: object, added: number[]): number {
  let slot = slots.get(object);
  if (slot === undefined) {
    slot = free.pop() ?? objects.length;
    objects[slot] = object;
    slots.set(object, slot);
    added.push(slot);
  }
  return slot;
}

export function objectIn(slot: number): object | undefined {
  return objects[slot];
}

/** Forgets an object that nobody refers to. */
export function freeSlot(slot: number): void {
  const object = objects[slot];
  if (object === undefined) return;
  objects[slot] = undefined;
  slots.delete(object);
  free.push(slot);
}

/** What may be called, by class. */
const tables = new WeakMap<object, Map<string, Method>>();

function tableOf(prototype: object): Map<string, Method> {
  let table = tables.get(prototype);
  if (table) return table;
  table = new Map();
  tables.set(prototype, table);
  const hidden = new Set<string>();
  for (let level: object | null = prototype; level && level !== Referenceable.prototype; level = Object.getPrototypeOf(level)) {
    for (const [name, property] of Object.entries(Object.getOwnPropertyDescriptors(level))) {
      // What a subclass puts in a method's place hides the method.
      if (name.startsWith("_") || name in Object.prototype || hidden.has(name)) continue;
      hidden.add(name);
      if (typeof property.value === "function") table.set(name, property.value as Method);
    }
  }
  return table;
}

/** Calls a method of a local object, or, without a name, a function. */
export function callLocal(object: object | undefined, selector: string | null, args: unknown[]): unknown {
  if (selector === null) {
    if (typeof object === "function") return object(...args);
    throw new TypeError("this object cannot be called without a method name");
  }
  const method = object instanceof Referenceable ? tableOf(Object.getPrototypeOf(object)).get(selector) : undefined;
  if (!method) throw new NoSuchMethod(`AttributeError: no remote method named ${JSON.stringify(selector)}`);
  return method.apply(object, args);
}

/** As the core says it in every language. */
export class NoSuchMethod extends Error {}

/** Calls a method of an object of this program, which may do whatever the language allows. */
export function callNear(object: unknown, selector: string | null, args: unknown[]): unknown {
  if (selector === null) {
    if (typeof object === "function") return (object as (...args: unknown[]) => unknown)(...args);
    throw new TypeError("this object cannot be called without a method name");
  }
  const method = (object as Record<string, unknown> | null | undefined)?.[selector];
  if (selector.startsWith("_") || typeof method !== "function") {
    const isData = (typeof object !== "object" && typeof object !== "function") || object === null;
    throw new TypeError(isData ? "a message was sent to plain data, which has no methods" : `no method named ${JSON.stringify(selector)}`);
  }
  return (method as Method).apply(object, args);
}

// Cancelling.

/** The call that is being answered, as far as it runs in this stack. */
let call: { controller: AbortController | undefined } | undefined;

/** Calls `f`; if that asks for its signal, `cancellable` is given the means to abort it. */
export function withCall<T>(f: () => T, cancellable: (abort: (reason: unknown) => void) => void): T {
  const before = call;
  const mine: typeof call = (call = { controller: undefined });
  try {
    return f();
  } finally {
    call = before;
    const { controller } = mine as { controller: AbortController | undefined };
    if (controller) cancellable((reason) => controller.abort(reason));
  }
}

/**
 * The signal of the call that is being answered: it is aborted when the caller cancels. To be asked for by a method that
 * others call, before its first `await`.
 *
 * @example
 * ```ts
 * class Search extends Referenceable {
 *   async find(text: string) {
 *     const signal = callSignal();
 *     const response = await fetch(`/search?q=${encodeURIComponent(text)}`, { signal });
 *     return response.json();
 *   }
 * }
 * ```
 */
export function callSignal(): AbortSignal {
  if (!call) throw new TypeError("callSignal() is for methods that are being called, before their first await");
  return (call.controller ??= new AbortController()).signal;
}
