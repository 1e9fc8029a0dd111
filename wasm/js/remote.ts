// Promises and far references: the states, and the proxies through which they are used.
import { RemoteError, report } from "./errors.js";
import { Referenceable, objectIn, slotOf } from "./objects.js";
import { platform } from "./platform.js";
import * as tape from "./tape.js";
import { STATE, putMessage, type Origin, type Remote, put, stateOf } from "./values.js";
import { ENOUGH, NOTHING, output, wasm } from "./wasm.js";

/** What proxies stand before. It is shared, so nothing may be set on it. */
const target = () => {};
Object.defineProperty(target, Symbol.for("nodejs.util.inspect.custom"), {
  value(this: unknown) {
    return stateOf<Base>(this)?.describe() ?? "[remote]";
  },
  configurable: true,
});

/** Names that are answered here: asking for one of them is how other code finds out what it deals with. */
const own = new Set(["then", "catch", "finally", "constructor", "prototype", "toJSON", "toString", "valueOf", "inspect",
  "$$typeof", ...Object.getOwnPropertyNames(Object.prototype)]);

/** Those of them that any object answers. */
const harmless = new Set(["constructor", "hasOwnProperty", "isPrototypeOf", "propertyIsEnumerable", "toLocaleString", "valueOf"]);

/** Something that takes messages. A selector of null is a call of the thing itself. */
export interface Sender extends Remote {
  /** Sends a message; returns the proxy of the promise for its result. */
  send(selector: string | null, args: unknown[]): unknown;
  /** Sends a message whose result nobody wants. */
  sendOnly(selector: string | null, args: unknown[]): void;
}

/** What promises and references have in common. The states are their own proxies' handlers: one object less a call. */
abstract class Base implements Sender {
  /** What users hold. */
  readonly proxy: unknown = new Proxy(target, this as ProxyHandler<typeof target>);

  constructor(readonly tub: Origin) {}

  abstract describe(): string;
  abstract write(from: Origin, depth: number): void;
  abstract send(selector: string | null, args: unknown[]): unknown;
  abstract sendOnly(selector: string | null, args: unknown[]): void;
  /** A property that is not a method of the far object. */
  abstract property(key: string | symbol): unknown;

  // The traps.

  get(_target: unknown, key: string | symbol): unknown {
    if (typeof key === "symbol" || own.has(key) || key.charCodeAt(0) === 95) {
      if (key === STATE) return this;
      if (key === "toString" || key === Symbol.toPrimitive) return () => this.describe();
      return this.property(key) ?? (typeof key === "string" && harmless.has(key) ? Reflect.get(Object.prototype, key) : undefined);
    }
    return (...args: unknown[]) => this.send(key, args);
  }

  apply(_target: unknown, _this: unknown, args: unknown[]): unknown {
    return this.send(null, args);
  }

  set(): boolean {
    throw new TypeError("nothing can be set on a remote reference: call a method of it instead");
  }

  defineProperty(): boolean {
    return false;
  }

  deleteProperty(): boolean {
    return false;
  }

  setPrototypeOf(): boolean {
    return false;
  }

  preventExtensions(): boolean {
    return false;
  }
}

/** Ends the tape that began at `start`, and sends the message on it. */
function deliver(tub: Origin, start: number, wantsResult: boolean, to: number, slot: number): number {
  const length = tape.end(start);
  if (length > tub.maxBytes) throw new TypeError(`the arguments take more than ${tub.maxBytes} bytes`);
  let handle: number;
  if (to >= 0) handle = (wantsResult ? wasm.call(to, start, length) : wasm.call_only(to, start, length)) >>> 0;
  else handle = wasm.call_object(tub.number, slot, wantsResult as unknown as number, start, length) >>> 0;
  if (length > 1 << 20) tape.shrink();
  if ((output.waiting += length) > ENOUGH) output.flush();
  if (handle === NOTHING) throw new TypeError("this reference has been disposed of, or an argument cannot be encoded");
  return handle;
}

/** Sends to whatever a handle stands for. */
function sendTo(tub: Origin, handle: number, selector: string | null, args: unknown[]): unknown {
  return new RemotePromiseState(tub, deliver(tub, putMessage(selector, args, tub), true, handle, 0)).proxy;
}

/** Sends to a local object, in a later turn. */
export function sendToObject(tub: Origin, object: object, wantsResult: boolean, selector: string | null, args: unknown[]): unknown {
  const start = putMessage(selector, args, tub);
  const handle = deliver(tub, start, wantsResult, -1, slotOf(object, []));
  return wantsResult ? new RemotePromiseState(tub, handle).proxy : undefined;
}

// Far references.

/** A far reference's proxy as a table holds it; `weak` tells it from a later one with the same handle. */
interface Held {
  handle: number;
  weak: WeakRef<FarState>;
}

const far: (Held | undefined)[] = [];
const collected = new FinalizationRegistry(letGo);

function letGo(held: Held): void {
  if (far[held.handle] !== held) return;
  far[held.handle] = undefined;
  wasm.drop_handle(held.handle);
}

class FarState extends Base {
  disposed = false;

  constructor(tub: Origin, readonly handle: number) {
    super(tub);
  }

  describe(): string {
    return "[RemoteReference]";
  }

  write(_from: Origin, _depth: number): void {
    tape.putNumbered(tape.FAR, this.usable());
  }

  usable(): number {
    if (this.disposed) throw new TypeError("this reference has been disposed of");
    return this.handle;
  }

  send(selector: string | null, args: unknown[]): unknown {
    return sendTo(this.tub, this.usable(), selector, args);
  }

  sendOnly(selector: string | null, args: unknown[]): void {
    deliver(this.tub, putMessage(selector, args, this.tub), false, this.usable(), 0);
  }

  property(key: string | symbol): unknown {
    return key === Symbol.dispose ? () => this.dispose() : undefined;
  }

  dispose(): void {
    if (this.disposed) return;
    this.disposed = true;
    const held = far[this.handle];
    if (held?.weak.deref() !== this) return;
    collected.unregister(this);
    // In a later job: the handle may stand on a tape that is not read yet.
    queueMicrotask(() => letGo(held));
  }
}

tape.references.far = (handle) => {
  const known = far[handle]?.weak.deref();
  if (known && !known.disposed) return known.proxy;
  const state = new FarState(current.tub, handle);
  const held = { handle, weak: new WeakRef(state) };
  far[handle] = held;
  collected.register(state, held, state);
  return state.proxy;
};

tape.references.object = (slot) => objectIn(slot);

/** The tub that the tape being read belongs to. */
export const current: { tub: Origin } = { tub: undefined as unknown as Origin };

// Promises.

const PENDING = 0, FULFILLED = 1, BROKEN = 2;

/** Every promise that has not settled, by handle. It will: its vat, or the end of the connection, sees to that. */
const pending: (RemotePromiseState | undefined)[] = [];

export class RemotePromiseState extends Base {
  private state = PENDING;
  /** The value, or the reason. */
  private value: unknown = undefined;
  /** True once somebody will see a failure. */
  private isLookedAt = false;
  private native: Promise<unknown> | undefined;
  private reactions: (() => void)[] | undefined;

  constructor(tub: Origin, private readonly handle: number) {
    super(tub);
    if (handle >= 0) pending[handle] = this;
  }

  /** A promise that has settled before it was asked for. */
  static settled(tub: Origin, broken: boolean, value: unknown): RemotePromiseState {
    const promise = new RemotePromiseState(tub, -1);
    promise.settle(broken, value);
    return promise;
  }

  describe(): string {
    return `[RemotePromise ${["pending", "fulfilled", "broken"][this.state]}]`;
  }

  settle(broken: boolean, value: unknown): void {
    this.state = broken ? BROKEN : FULFILLED;
    this.value = value;
    if (broken && !this.isLookedAt) {
      platform.later(() => {
        if (!this.isLookedAt && !this.tub.isClosed) report(value);
      });
    }
    const reactions = this.reactions;
    this.reactions = undefined;
    if (reactions) for (const reaction of reactions) reaction();
  }

  /** Runs `reaction` once the promise has settled. */
  private react(reaction: () => void): void {
    if (this.state !== PENDING) reaction();
    else if (this.reactions) this.reactions.push(reaction);
    else this.reactions = [reaction];
  }

  write(from: Origin, depth: number): void {
    this.isLookedAt = true;
    if (this.state === FULFILLED) return put(this.value, from, depth);
    tape.putNumbered(tape.PROMISE, this.state === PENDING ? this.handle : from.adopt(Promise.reject(this.value)));
  }

  send(selector: string | null, args: unknown[]): unknown {
    this.isLookedAt = true;
    if (this.state === PENDING) return sendTo(this.tub, this.handle, selector, args);
    if (this.state === BROKEN) return RemotePromiseState.settled(this.tub, true, this.value).proxy;
    return sendToValue(this.tub, this.value, selector, args);
  }

  sendOnly(selector: string | null, args: unknown[]): void {
    this.isLookedAt = true;
    if (this.state === PENDING) deliver(this.tub, putMessage(selector, args, this.tub), false, this.handle, 0);
    else if (this.state === FULFILLED) sendOnlyToValue(this.tub, this.value, selector, args);
  }

  property(key: string | symbol): unknown {
    switch (key) {
      case "then":
        return (resolve: Resolve, reject: Reject) => this.when().then(resolve, reject);
      case "catch":
        return (reject: Reject) => this.when().catch(reject);
      case "finally":
        return (f: () => void) => this.when().finally(f);
      case "_when":
        return () => this.when();
      case "_then":
        return (f: (value: unknown) => unknown) => this.attach(FULFILLED, f);
      case "_except":
        this.isLookedAt = true;
        return (f: (error: unknown) => unknown) => this.attach(BROKEN, f);
      case Symbol.toStringTag:
        return "RemotePromise";
      case Symbol.dispose:
        return () => this.dispose();
      default:
        return undefined;
    }
  }

  when(): Promise<unknown> {
    this.isLookedAt = true;
    if (this.native) return this.native;
    if (this.state === FULFILLED) this.native = Promise.resolve(this.value);
    else if (this.state === BROKEN) this.native = Promise.reject(this.value);
    else {
      this.native = new Promise((resolve, reject) => {
        this.react(() => (this.state === FULFILLED ? resolve(this.value) : reject(this.value)));
      });
    }
    return this.native;
  }

  private attach(state: number, f: (value: unknown) => unknown): unknown {
    this.react(() => {
      if (this.state !== state) return;
      queueMicrotask(() => {
        try {
          const result = f(this.value);
          // What an async callback throws is reported as well.
          if (result instanceof Promise) result.catch(report);
        } catch (error) {
          report(error);
        }
      });
    });
    return this.proxy;
  }

  private dispose(): void {
    this.isLookedAt = true;
    this.react(() => {
      const state = stateOf(this.value);
      if (this.state === FULFILLED && state instanceof FarState) state.dispose();
    });
  }
}

type Resolve = ((value: unknown) => unknown) | undefined;
type Reject = ((error: unknown) => unknown) | undefined;

tape.references.promise = (handle) => new RemotePromiseState(current.tub, handle).proxy;

function sendToValue(tub: Origin, value: unknown, selector: string | null, args: unknown[]): unknown {
  const state = stateOf<Base>(value);
  if (state) return state.send(selector, args);
  if (value instanceof Referenceable || typeof value === "function") return sendToObject(tub, value, true, selector, args);
  const error = new RemoteError("TypeError: a message was sent to plain data, which has no methods");
  return RemotePromiseState.settled(tub, true, error).proxy;
}

function sendOnlyToValue(tub: Origin, value: unknown, selector: string | null, args: unknown[]): void {
  const state = stateOf<Base>(value);
  if (state) return state.sendOnly(selector, args);
  if (value instanceof Referenceable || typeof value === "function") sendToObject(tub, value, false, selector, args);
}

/** Settles the promises that have ended, as the tape of events says. */
export function readEvents(): void {
  const length = wasm.events_length();
  if (length === 0) return;
  const end = (wasm.events_address() >>> 0) + length;
  tape.read(end - length);
  while (tape.position() < end) {
    const handle = tape.getUint32();
    const promise = pending[handle];
    if (promise) current.tub = promise.tub;
    pending[handle] = undefined;
    let broken = tape.getByte() === 1;
    let value = broken ? tape.getFailure() : tape.get();
    // Awaiting it would call what the peer put there.
    if (typeof value === "object" && value !== null && typeof (value as { then?: unknown }).then === "function") {
      broken = true;
      value = new RemoteError("TypeError: the result has a property \"then\" that is a reference");
    }
    promise?.settle(broken, value);
  }
  wasm.events_clear();
}
