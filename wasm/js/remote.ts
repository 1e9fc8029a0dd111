// Promises and far references: the states, and the proxies through which they are used.
import { Deferred } from "./deferred.js";
import { CancelledError } from "./deferred-errors.js";
import { RemoteError, report } from "./errors.js";
import { partOf, promiseOf, recorded, sendNear, whole } from "./near.js";
import { Referenceable, objectIn } from "./objects.js";
import { platform } from "./platform.js";
import * as tape from "./tape.js";
import { homeTub, inTurn } from "./turns.js";
import { STATE, putFailure, putMessage, putValue, type Origin, type Remote, put, stateOf } from "./values.js";
import { ENOUGH, NOTHING, dropWith, output, wasm } from "./wasm.js";

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
  /** From now on the proxy has no methods but those that begin with an underscore. */
  turnMagicOff(): void;
}

/** The core's selector for a part of a value. */
export const GET = "marotte:get";

/** What promises and references have in common. The states are their own proxies' handlers: one object less a call. */
abstract class Base implements Sender {
  /** What users hold. */
  readonly proxy: unknown = new Proxy(target, this as ProxyHandler<typeof target>);

  constructor(readonly tub: Origin) {}

  abstract describe(): string;
  abstract write(from: Origin, depth: number): void;
  abstract send(selector: string | null, args: unknown[]): unknown;
  abstract sendOnly(selector: string | null, args: unknown[]): void;
  abstract turnMagicOff(): void;
  /** A property that is not a method of the far object. */
  abstract property(key: string | symbol): unknown;

  // The traps.

  get(_target: unknown, key: string | symbol): unknown {
    if (typeof key === "symbol" || own.has(key) || key.charCodeAt(0) === 95) {
      if (key === STATE) return this;
      if (key === "toString" || (key === Symbol.toPrimitive && !(this instanceof PromiseState))) return () => this.describe();
      return this.property(key) ?? (typeof key === "string" && harmless.has(key) ? Reflect.get(Object.prototype, key) : undefined);
    }
    return this.method(key);
  }

  /** What a name that may be remote stands for. */
  protected method(key: string): unknown {
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
export function deliver(tub: Origin, start: number, wantsResult: boolean, to: number, slot: number): number {
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

  override method(key: string): unknown {
    // As in Python: what programs written for Foolscap and Perspective Broker call.
    switch (key) {
      case "callRemote":
        return (name: string, ...args: unknown[]) => stateOf<PromiseState>(this.send(name, args))!.deferred();
      case "callRemoteOnly":
        return (name: string, ...args: unknown[]) => this.sendOnly(name, args);
      case "notifyOnDisconnect":
        return (f: (reason: Error) => unknown) => this.watch(f);
      case "dontNotifyOnDisconnect":
        return (watcher: Watcher) => watcher.forget();
      default:
        return super.method(key);
    }
  }

  /** A reference is one way or the other already: its promises have the switch. */
  turnMagicOff(): void {}

  private watch(f: (reason: Error) => unknown): Watcher {
    return new Watcher(this.tub, this.usable(), f);
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
    const handle = deliver(this.tub, putMessage(selector, args, this.tub), true, this.usable(), 0);
    return new RemotePromiseState(this.tub, handle).proxy;
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

/** Somebody who wants to know of the end of a connection. It is told once. */
class Watcher {
  private readonly told: number;
  private readonly number: number;

  constructor(readonly tub: Origin, private readonly handle: number, private f: ((reason: Error) => unknown) | undefined) {
    this.told = wasm.watch(handle) >>> 0;
    this.number = wasm.watched();
    pending[this.told] = this;
  }

  settle(_broken: boolean, reason: unknown): void {
    const { f } = this;
    this.f = undefined;
    try {
      const result = f?.(reason as Error);
      if (result instanceof Promise) result.catch(report);
    } catch (error) {
      report(error);
    }
  }

  forget(): void {
    if (!this.f) return;
    this.f = undefined;
    pending[this.told] = undefined;
    wasm.unwatch(this.handle, this.told, this.number);
  }
}

// Promises.

const PENDING = 0, FULFILLED = 1, BROKEN = 2;

/** What the core tells of the end of a promise. */
interface Settled {
  readonly tub: Origin;
  settle(broken: boolean, value: unknown): void;
}

/** Every promise that the core will settle, by handle. It will: its vat, or the end of the connection, sees to that. */
const pending: (Settled | undefined)[] = [];

/** What promises of every kind have in common. */
export abstract class PromiseState extends Base {
  state = PENDING;
  /** The value, or the reason. */
  value: unknown = undefined;
  /** True once somebody will see a failure. */
  isLookedAt = false;
  /** True once `send` was used on it. */
  private isPlain = false;
  private native: Promise<unknown> | undefined;
  private reactions: (() => void)[] | undefined;

  /** Where messages go while the promise is pending. */
  protected abstract sendPending(selector: string | null, args: unknown[], wantsResult: boolean): unknown;
  protected abstract writePending(from: Origin, depth: number): void;
  protected abstract sendToValue(selector: string | null, args: unknown[], wantsResult: boolean): unknown;
  protected abstract mapPending(f: (item: unknown) => unknown): unknown;
  /** Breaks the promise, and tells whoever works on it. */
  abstract cancel(reason?: unknown): void;
  /** The name of the state while the promise is pending. */
  abstract pendingName(): string;

  describe(): string {
    return `[RemotePromise ${["pending", "fulfilled", "broken"][this.state]}]`;
  }

  /** What the state is called. */
  name(): string {
    if (this.state === PENDING) return this.pendingName();
    return this.state === BROKEN ? "broken" : stateName(this.value);
  }

  settle(broken: boolean, value: unknown): void {
    if (this.state !== PENDING) return;
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
  react(reaction: () => void): void {
    if (this.state !== PENDING) reaction();
    else if (this.reactions) this.reactions.push(reaction);
    else this.reactions = [reaction];
  }

  write(from: Origin, depth: number): void {
    this.isLookedAt = true;
    if (this.state === FULFILLED) return put(this.value, from, depth);
    if (this.state === PENDING) return this.writePending(from, depth);
    tape.putNumbered(tape.PROMISE, from.adopt(Promise.reject(this.value)));
  }

  /** The promise through which messages still have to go, after this one has settled. */
  held(): PromiseState | undefined {
    return undefined;
  }

  send(selector: string | null, args: unknown[]): unknown {
    this.isLookedAt = true;
    if (this.state === PENDING) return this.sendPending(selector, args, true);
    const held = this.held();
    if (held) return held.sendPending(selector, args, true);
    if (this.state === BROKEN) return RemotePromiseState.settled(this.tub, true, this.value).proxy;
    const state = stateOf<Base>(this.value);
    return state ? state.send(selector, args) : this.sendToValue(selector, args, true);
  }

  sendOnly(selector: string | null, args: unknown[]): void {
    this.isLookedAt = true;
    if (this.state === PENDING) this.sendPending(selector, args, false);
    if (this.state !== FULFILLED) return;
    const held = this.held();
    if (held) return void held.sendPending(selector, args, false);
    const state = stateOf<Base>(this.value);
    if (state) state.sendOnly(selector, args);
    else this.sendToValue(selector, args, false);
  }

  turnMagicOff(): void {
    this.isPlain = true;
  }

  override method(key: string): unknown {
    if (this.isPlain) {
      return () => {
        throw new TypeError(`send() was used on this promise, so its methods are no remote ones: write send(p).${key}(...)`);
      };
    }
    const digit = key.charCodeAt(0);
    if (digit >= 48 && digit <= 57) throw notItsValue(`[${key}]`, `; \`p._get(${key})\` is a promise for that part of it`);
    return super.method(key);
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
        return (f: (value: unknown) => unknown, g?: (error: unknown) => unknown) => this.chain(f, g);
      case "_except":
        return (g: (error: unknown) => unknown) => this.chain(undefined, g);
      case "_get":
        return (...path: (string | number)[]) => this.getPart(path);
      case "_map":
        return (f: (item: unknown) => unknown) => this.map(f);
      case "_cancel":
        return (reason?: unknown) => this.cancel(reason);
      case Symbol.toPrimitive:
        return (hint: string) => {
          throw notItsValue(hint === "string" ? "text" : "an operator");
        };
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

  /** A Deferred for the outcome, which cancels the promise when it is cancelled. */
  deferred(): Deferred<unknown> {
    this.isLookedAt = true;
    const deferred = new Deferred<unknown>(() => this.cancel());
    this.react(() => (this.state === FULFILLED ? deferred.callback(this.value) : deferred.errback(this.value as Error)));
    return deferred;
  }

  /** A promise for what one of the functions makes of the outcome, or for the outcome if there is none for it. */
  private chain(f?: (value: unknown) => unknown, g?: (error: unknown) => unknown): unknown {
    this.isLookedAt = true;
    const next = new LocalPromiseState(homeTub());
    this.react(() => {
      const use = this.state === FULFILLED ? f : g;
      if (!use) return next.settle(this.state === BROKEN, this.value);
      inTurn(() => {
        try {
          next.resolve(use(this.value));
        } catch (error) {
          next.smash(error);
        }
      });
    });
    return next.proxy;
  }

  /** A promise for a part of the value. */
  getPart(path: (string | number)[]): unknown {
    if (this.state === FULFILLED && !stateOf(this.value)) {
      const part = new LocalPromiseState(homeTub());
      try {
        part.resolve(partOf(this.value, path));
      } catch (error) {
        part.smash(error);
      }
      return part.proxy;
    }
    return this.send(GET, path);
  }

  /** A promise for the list of what `f` makes of each item. */
  map(f: (item: unknown) => unknown): unknown {
    this.isLookedAt = true;
    if (this.state === PENDING) return this.mapPending(f);
    if (this.state === BROKEN) return RemotePromiseState.settled(this.tub, true, this.value).proxy;
    if (this.value === null || this.value === undefined) return this.proxy;
    const list = new LocalPromiseState(homeTub());
    if (Array.isArray(this.value)) list.resolve(Promise.all(this.value.map((item) => whole(f(promiseOf(item))))));
    else list.smash(new TypeError("only a list can be mapped over"));
    return list.proxy;
  }

  private dispose(): void {
    this.isLookedAt = true;
    this.react(() => {
      const state = stateOf(this.value);
      if (this.state === FULFILLED && state instanceof FarState) state.dispose();
    });
  }
}

/** A promise that the core settles. */
export class RemotePromiseState extends PromiseState {
  private isHeld = false;

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

  protected sendPending(selector: string | null, args: unknown[], wantsResult: boolean): unknown {
    const handle = deliver(this.tub, putMessage(selector, args, this.tub), wantsResult, this.handle, 0);
    return wantsResult ? new RemotePromiseState(this.tub, handle).proxy : undefined;
  }

  protected writePending(): void {
    tape.putNumbered(tape.PROMISE, this.handle);
  }

  protected sendToValue(selector: string | null, args: unknown[], wantsResult: boolean): unknown {
    if (this.value instanceof Referenceable || typeof this.value === "function") {
      return sendNear(this.value, selector, args, !wantsResult);
    }
    const error = new RemoteError("TypeError: a message was sent to plain data, which has no methods");
    return wantsResult ? RemotePromiseState.settled(this.tub, true, error).proxy : undefined;
  }

  protected mapPending(f: (item: unknown) => unknown): unknown {
    const { tub } = this;
    const item = new RemotePromiseState(tub, wasm.map_begin(tub.number) >>> 0);
    // What is made of it is looked at over there.
    item.isLookedAt = true;
    let start: number;
    recorded.functions++;
    try {
      start = putValue(f(item.proxy), "result", tub);
    } catch (error) {
      wasm.map_abandon();
      throw error;
    } finally {
      recorded.functions--;
    }
    const handle = wasm.map_finish(this.handle, start, tape.end(start)) >>> 0;
    if (handle === NOTHING) throw new TypeError("what the function given to map returned cannot be encoded");
    return new RemotePromiseState(tub, handle).proxy;
  }

  pendingName(): string {
    return coreState(this.handle);
  }

  /** Messages go on through the promise: others are under way to what it has become, by a longer way. */
  hold(): void {
    this.isHeld = true;
    dropWith(this, wasm.drop_handle, this.handle);
  }

  override held(): PromiseState | undefined {
    return this.isHeld ? this : undefined;
  }

  cancel(reason: unknown = new CancelledError("the call was cancelled")): void {
    if (this.state !== PENDING) return;
    this.isLookedAt = true;
    const start = putFailure(reason, this.tub);
    wasm.cancel(this.handle, start, tape.end(start));
    this.settle(true, reason);
  }
}

/** A promise that this program resolves. What is sent to it waits here, with arguments of any kind. */
export class LocalPromiseState extends PromiseState {
  private isResolved = false;
  /** The promise that it was resolved to. */
  private follows: PromiseState | undefined;
  /** What waits until it is known where it goes, in order. */
  private messages: (() => void)[] = [];
  /** Who works on it. */
  onCancel: ((reason: unknown) => void) | undefined;

  constructor(tub: Origin) {
    super(tub);
  }

  /** Resolves the promise, unless that was done before. */
  resolve(value: unknown): void {
    if (this.isResolved) return;
    this.isResolved = true;
    this.decide(value);
  }

  smash(error: unknown): void {
    if (this.isResolved) return;
    this.isResolved = true;
    this.settle(true, error);
  }

  private decide(value: unknown): void {
    const state = stateOf<Base>(value);
    if (state instanceof PromiseState) return this.follow(state);
    if (state || (typeof value !== "object" && typeof value !== "function") || value === null) return this.settle(false, value);
    let then: unknown;
    try {
      // Asked for once: Promises/A+ 2.3.3.1.
      ({ then } = value as { then?: unknown });
    } catch (error) {
      return this.settle(true, error);
    }
    // A peer's function under that name makes no promise.
    if (typeof then !== "function" || stateOf(then)) return this.settle(false, value);
    const native = new Promise((resolve, reject) => {
      queueMicrotask(() => {
        try {
          (then as PromiseLike<unknown>["then"]).call(value, resolve, reject);
        } catch (error) {
          reject(error);
        }
      });
    });
    native.then((result) => this.settle(false, result), (error: unknown) => this.settle(true, error));
  }

  private follow(other: PromiseState): void {
    let last: PromiseState | undefined = other;
    while (last instanceof LocalPromiseState && last !== this) last = last.follows;
    if (last === this) return this.settle(true, new TypeError("a promise cannot be resolved to itself"));
    this.follows = other;
    this.forward();
    other.isLookedAt = true;
    other.react(() => this.settle(other.state === BROKEN, other.value));
  }

  override settle(broken: boolean, value: unknown): void {
    if (this.state !== PENDING) return;
    this.isResolved = true;
    this.onCancel = undefined;
    super.settle(broken, value);
    this.forward();
  }

  override held(): PromiseState | undefined {
    return this.follows?.held();
  }

  private forward(): void {
    const { messages } = this;
    this.messages = [];
    for (const message of messages) message();
  }

  /** Runs `f` on a state that knows better, now or when it is known; for what is an answer, returns the promise for it. */
  private later(f: (state: PromiseState) => unknown): unknown {
    if (this.follows) return f(this.follows);
    const result = new LocalPromiseState(this.tub);
    this.messages.push(() => {
      if (result.state !== PENDING) return;
      try {
        result.resolve(f(this.follows ?? this));
      } catch (error) {
        result.smash(error);
      }
    });
    return result.proxy;
  }

  protected sendPending(selector: string | null, args: unknown[], wantsResult: boolean): unknown {
    if (recorded.functions > 0) throw new TypeError("a function given to _map can send to what peers can reach only: not to a promise of this program");
    if (wantsResult) return this.later((state) => state.send(selector, args));
    if (this.follows) return this.follows.sendOnly(selector, args);
    this.messages.push(() => {
      try {
        (this.follows ?? this).sendOnly(selector, args);
      } catch (error) {
        report(error);
      }
    });
  }

  protected mapPending(f: (item: unknown) => unknown): unknown {
    return this.later((state) => state.map(f));
  }

  protected sendToValue(selector: string | null, args: unknown[], wantsResult: boolean): unknown {
    if (selector === GET && wantsResult) return this.getPart(args as (string | number)[]);
    return sendNear(this.value, selector, args, !wantsResult);
  }

  protected writePending(from: Origin, depth: number): void {
    if (this.follows) return this.follows.write(from, depth);
    tape.putNumbered(tape.PROMISE, from.adopt(this.when()));
  }

  pendingName(): string {
    return this.follows?.name() ?? "eventual";
  }

  cancel(reason: unknown = new CancelledError("the call was cancelled")): void {
    if (this.state !== PENDING) return;
    this.isLookedAt = true;
    const { onCancel } = this;
    this.settle(true, reason);
    onCancel?.(reason);
  }
}

type Resolve = ((value: unknown) => unknown) | undefined;
type Reject = ((error: unknown) => unknown) | undefined;

tape.references.promise = (handle) => {
  const state = new RemotePromiseState(current.tub, handle);
  // If it breaks and nobody looks, that is for its owner to report, who knows.
  state.isLookedAt = true;
  return state.proxy;
};

/** The error of using a promise as if it were its value. */
function notItsValue(what: string, more = ""): TypeError {
  return new TypeError(`${what}: a promise is not its value, which is not here yet; \`await\` the promise, or give a function to ` +
    `\`_then\`, which is called with the value${more}`);
}

/** The core's name for the state of what a handle stands for. */
function coreState(handle: number): string {
  wasm.state_of(handle);
  tape.read(wasm.result_address());
  return tape.getString() ?? "";
}

/** What a reference is now. */
export function stateName(reference: unknown): "eventual" | "remote" | "near" | "far" | "broken" {
  const state = stateOf(reference);
  let name = "near";
  if (state instanceof PromiseState) name = state.name();
  else if (state instanceof FarState) name = state.disposed ? "broken" : coreState(state.handle);
  return name as "near";
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
    const how = tape.getByte();
    if (how === 2) {
      if (promise instanceof RemotePromiseState) promise.hold();
      else wasm.drop_handle(handle);
    }
    let broken = how === 1;
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
