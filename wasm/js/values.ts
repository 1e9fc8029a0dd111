// JavaScript values to tape, and what to say of those that cannot be passed.
import { Deferred } from "./deferred.js";
import { DisconnectedError, RemoteError } from "./errors.js";
import { NoSuchMethod, Referenceable, freeSlot, slotOf } from "./objects.js";
import { SturdyRef } from "./sturdy.js";
import * as tape from "./tape.js";

/** The key under which a reference's proxy shows its state. */
export const STATE: unique symbol = Symbol("marotte.state");

/** The state behind a reference's proxy, as far as writing it is concerned. */
export interface Remote {
  /** Writes the reference, or the value that it has settled to. */
  write(from: Origin, depth: number): void;
}

/** The tub that a message leaves from. */
export interface Origin {
  readonly number: number;
  readonly maxDepth: number;
  readonly maxBytes: number;
  /** True once its user has closed it: what breaks by that is no surprise. */
  readonly isClosed: boolean;
  /** True if peers are told where a failure happened. */
  readonly showsTracebacks: boolean;
  /** A promise that settles as a native one does; returns its handle. */
  adopt(promise: PromiseLike<unknown>, abort?: (reason: unknown) => void): number;
  /** The same for a promise of this program, which may be resolved to one that the core knows. */
  adoptOwn(promise: Own): number;
}

/** A promise of this program, as far as it is shown to the core. */
export interface Own extends Remote {
  readonly isPending: boolean;
  readonly isBroken: boolean;
  /** The value, or the reason. */
  readonly value: unknown;
  isLookedAt: boolean;
  /** Writes it where that does not mean that somebody has use for it. */
  writeFor(from: Origin, depth: number): void;
  isAbandoned(): boolean;
  cancel(reason?: unknown): void;
  react(run: () => void, by?: undefined, waits?: boolean): void;
  /**
   * Of those that the core does not know: calls `f` as soon as it is known what the promise is resolved to, with that or,
   * when it has settled, with itself.
   */
  onceKnown?(f: (known: Own) => void): void;
}

/** The state of a reference, if it is one. */
export function stateOf<T extends Remote = Remote>(value: unknown): T | undefined {
  const isObject = typeof value === "function" || (typeof value === "object" && value !== null);
  return isObject ? (value as { [STATE]?: T })[STATE] : undefined;
}

/** The way to the value that is being written: names of the containers' entries, outermost first. */
const path: (string | number)[] = [];
/** Slots given out by the tape that is being written. */
let added: number[] = [];

/** What makes an object of a stream that peers can get a reference to (see flows.ts, which comes later). */
export const streams: { exported(value: object): Referenceable | undefined } = { exported: () => undefined };

/** What kind of thing an unpassable value is. */
function kind(value: unknown): string {
  if (typeof value !== "object" || value === null) return typeof value;
  const constructor: unknown = value.constructor;
  return (typeof constructor === "function" && constructor.name) || "object";
}

function notPassable(what: string, depth: number): TypeError {
  const where = path.slice(0, depth + 1)
    .map((step, i) => (i === 0 && typeof step === "string" ? step : `[${JSON.stringify(step)}]`))
    .join("");
  return new TypeError(`${where}: ${what} is not passable`);
}

/** Writes one value. `depth` is how many containers it stands in; `path` says where in each of them. */
export function put(value: unknown, from: Origin, depth: number): void {
  switch (typeof value) {
    case "number": return tape.putNumber(value);
    case "string":
      checkSize(value.length, from, depth);
      return tape.putText(tape.STR, value);
    case "undefined": return tape.putTag(tape.VOID);
    case "boolean": return tape.putTag(value ? tape.TRUE : tape.FALSE);
    case "object":
      if (value === null) return tape.putTag(tape.NULL);
      return putObject(value, from, depth);
    case "function": {
      const remote = stateOf(value);
      if (remote) return remote.write(from, depth);
      return tape.putNumbered(tape.OBJECT, slotOf(value, added));
    }
    case "bigint": return tape.putText(tape.BIGINT, value.toString());
    default: throw notPassable(kind(value), depth);
  }
}

function putObject(value: object, from: Origin, depth: number): void {
  if (Array.isArray(value)) {
    enter(from, depth);
    tape.putTag(tape.LIST);
    for (let i = 0; i < value.length; i++) {
      path[depth + 1] = i;
      put(value[i], from, depth + 1);
    }
    return tape.putTag(tape.END_LIST);
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === Object.prototype || prototype === null) return putDict(value as Record<string, unknown>, from, depth);
  if (value instanceof Uint8Array) {
    checkSize(value.length, from, depth);
    return tape.putBytes(value);
  }
  if (value instanceof Referenceable) return tape.putNumbered(tape.OBJECT, slotOf(value, added));
  if (value instanceof ArrayBuffer) {
    checkSize(value.byteLength, from, depth);
    return tape.putBytes(new Uint8Array(value));
  }
  if (value instanceof SturdyRef) return tape.putText(tape.STURDY, String(value));
  const stream = streams.exported(value);
  if (stream) return tape.putNumbered(tape.OBJECT, slotOf(stream, added));
  if (value instanceof Error) return tape.putText(tape.ERROR, messageOf(value));
  if (value instanceof Promise || value instanceof Deferred) return tape.putNumbered(tape.PROMISE, from.adopt(value));
  // A plain object of another realm, such as another frame.
  if (Object.getPrototypeOf(prototype) === null && kind(value) === "Object") {
    return putDict(value as Record<string, unknown>, from, depth);
  }
  throw notPassable(kind(value), depth);
}

function putDict(value: Record<string, unknown>, from: Origin, depth: number): void {
  enter(from, depth);
  tape.putTag(tape.DICT);
  for (const key of Object.keys(value)) {
    path[depth + 1] = key;
    tape.putText(tape.KEY, key);
    put(value[key], from, depth + 1);
  }
  tape.putTag(tape.END_DICT);
}

function enter(from: Origin, depth: number): void {
  if (depth >= from.maxDepth) {
    // The way there would fill the screen.
    throw notPassable(`a value nested more than ${from.maxDepth} deep`, Math.min(depth, 3));
  }
}

function checkSize(size: number, from: Origin, depth: number): void {
  if (size > from.maxBytes) throw notPassable(`a value of more than ${from.maxBytes} bytes`, depth);
}

/** Writes a tape with `write`, undoing what that did if it fails; returns where the tape begins. */
function writing(write: () => void): number {
  const before = added;
  added = [];
  const start = tape.begin();
  try {
    write();
    return start;
  } catch (error) {
    tape.end(start);
    added.forEach(freeSlot);
    throw error;
  } finally {
    added = before;
  }
}

/** Writes a message: a selector, or null, and arguments. Returns where the tape begins. */
export function putMessage(selector: string | null, args: readonly unknown[], from: Origin): number {
  return writing(() => {
    if (selector === null) tape.putTag(tape.NULL);
    else tape.putText(tape.STR, selector);
    for (let i = 0; i < args.length; i++) {
      path[0] = "args";
      path[1] = i;
      put(args[i], from, 1);
    }
  });
}

/** Writes one value, called `name` in complaints. Returns where the tape begins. */
export function putValue(value: unknown, name: string, from: Origin): number {
  return writing(() => {
    path[0] = name;
    put(value, from, 0);
  });
}

/** What the far side is told of an error. */
function messageOf(error: Error): string {
  const isSaid = error instanceof RemoteError || error instanceof DisconnectedError || error instanceof NoSuchMethod;
  return isSaid ? error.message : `${error.name}: ${error.message}`;
}

/** Where an error happened, here or at a peer that told us. */
function tracebackOf(error: unknown): string {
  if (error instanceof RemoteError && error.traceback) return error.traceback;
  return error instanceof Error && typeof error.stack === "string" ? error.stack : "";
}

/** Writes a failure. Returns where the tape begins. */
export function putFailure(error: unknown, from: Origin): number {
  if (error instanceof RemoteError && error.reason !== undefined) error = error.reason;
  let text = error instanceof Error ? messageOf(error) : "";
  if (!text) {
    try {
      return writing(() => {
        tape.putTag(tape.REASON);
        path[0] = "reason";
        put(error, from, 0);
      });
    } catch {
      text = `Error: something was thrown that is not an error: ${kind(error)}`;
    }
  }
  return writing(() => {
    if (error instanceof DisconnectedError) return tape.putText(tape.DISCONNECTED, text);
    tape.putText(tape.REMOTE, text);
    tape.putText(tape.STR, from.showsTracebacks ? tracebackOf(error) : "");
  });
}
