// Promises: the states behind their proxies.
import { Deferred } from "./deferred.js";
import { CancelledError } from "./deferred-errors.js";
import { RemoteError, report } from "./errors.js";
import { inOrder, listeners } from "./events.js";
import { FarState } from "./far.js";
import { partOf, promiseOf, promisesIn, recorded, sendNear, whole } from "./near.js";
import { Referenceable } from "./objects.js";
import { platform } from "./platform.js";
import { Base, GET, current, deliver } from "./reference.js";
import * as tape from "./tape.js";
import { homeTub, inTurn } from "./turns.js";
import { putFailure, putMessage, putValue, type Origin, put, stateOf } from "./values.js";
import { NOTHING, dropWith, wasm } from "./wasm.js";

const PENDING = 0, FULFILLED = 1, BROKEN = 2;

/** What is to be done when a promise settles. */
interface Reaction {
  run(): void;
  /** The promise that is made from this one, or was resolved to it. */
  readonly by?: PromiseState;
  /** False if nobody waits for the outcome by it. */
  readonly waits: boolean;
}

/** The promise for the answer to a message: one that is there already, a new one, or none. */
export type Wanted = LocalPromiseState | boolean;

/** Has an answer settle the promise that is there for it, if there is one. */
function answer(wanted: Wanted, promise: unknown): unknown {
  if (typeof wanted === "boolean") return promise;
  wanted.resolve(promise);
  return wanted.proxy;
}

/** What promises of every kind have in common. */
export abstract class PromiseState extends Base {
  override readonly isPromise = true;
  state = PENDING;
  /** The value, or the reason. */
  value: unknown = undefined;
  /** True once somebody will see a failure. */
  isLookedAt = false;
  /** True for what comes of a message or of a function: of no use without anybody who waits for it. */
  isResult = false;
  /** True once messages were sent to it, or it was passed on. */
  protected isUsed = false;
  /** True once `send` was used on it. */
  private isPlain = false;
  private native: Promise<unknown> | undefined;
  private reactions: Reaction[] = [];

  /** Where messages go while the promise is pending. */
  protected abstract sendPending(selector: string | null, args: unknown[], wanted: Wanted): unknown;
  protected abstract writePending(from: Origin, depth: number): void;
  protected abstract sendToValue(selector: string | null, args: unknown[], wanted: Wanted): unknown;
  protected abstract mapPending(f: (item: unknown) => unknown): unknown;
  /** Breaks a pending promise, and tells whoever works on it; returns the promise that it is made from. */
  protected abstract stop(reason: unknown): PromiseState | undefined;
  /** The name of the state while the promise is pending. */
  abstract pendingName(): string;

  describe(): string {
    return `[RemotePromise ${["pending", "fulfilled", "broken"][this.state]}]`;
  }

  get isPending(): boolean {
    return this.state === PENDING;
  }

  get isBroken(): boolean {
    return this.state === BROKEN;
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
    const { reactions } = this;
    this.reactions = [];
    for (const reaction of reactions) inOrder(reaction.run);
  }

  /** Runs `run` once the promise has settled; `by` is the promise that is made of the outcome. */
  react(run: () => void, by?: PromiseState, waits = true): void {
    if (this.state === PENDING) this.reactions.push({ run, by, waits });
    else inOrder(run);
  }

  // Cancelling. The rules are those of the core's `Vat::cancel`.

  /** Breaks the promise, and those that only it has waited for; tells whoever works on them. */
  cancel(reason: unknown = new CancelledError("the call was cancelled")): void {
    let here: PromiseState | undefined = this;
    while (here?.state === PENDING) {
      here.isLookedAt = true;
      const behind = here.stop(reason);
      here = behind?.isAbandonedBy(here) ? behind : undefined;
    }
  }

  /** That promise waits for this one no more. True if now nobody does, and it is of no use. */
  private isAbandonedBy(dependent: PromiseState): boolean {
    const at = this.reactions.findIndex(({ by }) => by === dependent);
    if (at >= 0) this.reactions.splice(at, 1);
    return this.isAbandoned();
  }

  /** The one who has the promise needs it no more; it has waited for it by a native promise. */
  giveUp(reason: unknown): void {
    if (this.isResult && !this.isUsed && this.reactions.filter(({ waits }) => waits).length <= 1) this.cancel(reason);
  }

  /** True for a result that nobody waits for, and nobody has sent messages to or passed on. */
  isAbandoned(): boolean {
    return this.state === PENDING && this.isResult && !this.isUsed && !this.reactions.some(({ waits }) => waits);
  }

  // Messages.

  write(from: Origin, depth: number): void {
    this.isUsed = true;
    this.writeFor(from, depth);
  }

  /** Writes it where it stands for a promise that was resolved to it. */
  writeFor(from: Origin, depth: number): void {
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
    this.isUsed = true;
    return this.pass(selector, args, true);
  }

  sendOnly(selector: string | null, args: unknown[]): void {
    this.isUsed = true;
    this.pass(selector, args, false);
  }

  /** Sends a message on, which may have been sent to a promise that was resolved to this one. */
  pass(selector: string | null, args: unknown[], wanted: Wanted): unknown {
    this.isLookedAt = true;
    if (this.state === PENDING) return this.sendPending(selector, args, wanted);
    const held = this.held();
    return held ? held.sendPending(selector, args, wanted) : this.passToOutcome(selector, args, wanted);
  }

  /** Sends a message to what the promise has become. */
  protected passToOutcome(selector: string | null, args: unknown[], wanted: Wanted): unknown {
    if (this.state === BROKEN) {
      return wanted && answer(wanted, RemotePromiseState.settled(this.tub, true, this.value).proxy);
    }
    const state = stateOf<Base>(this.value);
    if (!state) return this.sendToValue(selector, args, wanted);
    return wanted ? answer(wanted, state.send(selector, args)) : state.sendOnly(selector, args);
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
    refuseInMap();
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
    refuseInMap();
    this.isLookedAt = true;
    const next = LocalPromiseState.result(this);
    this.react(() => {
      const use = this.state === FULFILLED ? f : g;
      if (!use) return next.settle(this.state === BROKEN, this.value);
      inTurn(() => {
        // Cancelled before its turn came.
        if (!next.isPending) return;
        try {
          next.resolve(use(this.value));
        } catch (error) {
          next.smash(error);
        }
      });
    }, next);
    return next.proxy;
  }

  /** A promise for a part of the value. */
  getPart(path: (string | number)[]): unknown {
    if (this.state === FULFILLED && !stateOf(this.value)) {
      const part = LocalPromiseState.result();
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
    this.isUsed = true;
    if (this.state === PENDING) return this.mapPending(f);
    if (this.state === BROKEN) return RemotePromiseState.settled(this.tub, true, this.value).proxy;
    if (this.value === null || this.value === undefined) return this.proxy;
    const list = LocalPromiseState.result();
    const { value } = this;
    if (!Array.isArray(value)) {
      list.smash(new TypeError("only a list can be mapped over"));
      return list.proxy;
    }
    const results = recorded.here(() => value.map((item) => f(promiseOf(item))));
    list.onCancel = (reason) => {
      for (const promise of promisesIn(results)) promise.giveUp(reason);
    };
    list.resolve(Promise.all(results.map(whole)));
    return list.proxy;
  }

  private dispose(): void {
    this.isLookedAt = true;
    this.react(() => {
      const state = stateOf(this.value);
      if (this.state === FULFILLED && state instanceof FarState) state.dispose();
    }, undefined, false);
  }
}

/** A promise that the core settles. */
export class RemotePromiseState extends PromiseState {
  private isHeld = false;

  constructor(tub: Origin, private readonly handle: number) {
    super(tub);
    if (handle >= 0) listeners[handle] = this;
  }

  /** A promise for the result of a message. */
  static result(tub: Origin, handle: number): RemotePromiseState {
    const promise = new RemotePromiseState(tub, handle);
    promise.isResult = true;
    return promise;
  }

  /** A promise that has settled before it was asked for. */
  static settled(tub: Origin, broken: boolean, value: unknown): RemotePromiseState {
    const promise = new RemotePromiseState(tub, -1);
    promise.settle(broken, value);
    return promise;
  }

  protected sendPending(selector: string | null, args: unknown[], wanted: Wanted): unknown {
    const handle = deliver(this.tub, putMessage(selector, args, this.tub), wanted !== false, this.handle, 0);
    return wanted && answer(wanted, RemotePromiseState.result(this.tub, handle).proxy);
  }

  protected writePending(): void {
    tape.putNumbered(tape.PROMISE, this.handle);
  }

  protected sendToValue(selector: string | null, args: unknown[], wanted: Wanted): unknown {
    if (this.value instanceof Referenceable || typeof this.value === "function") {
      return sendNear(this.value, selector, args, wanted);
    }
    const error = new RemoteError("TypeError: a message was sent to plain data, which has no methods");
    return wanted && answer(wanted, RemotePromiseState.settled(this.tub, true, error).proxy);
  }

  protected mapPending(f: (item: unknown) => unknown): unknown {
    const { tub } = this;
    const item = new RemotePromiseState(tub, wasm.map_begin(tub.number) >>> 0);
    // What is made of it is looked at over there.
    item.isLookedAt = true;
    let start: number;
    try {
      start = putValue(recorded.far(() => f(item.proxy)), "result", tub);
    } catch (error) {
      wasm.map_abandon();
      throw error;
    }
    const handle = wasm.map_finish(this.handle, start, tape.end(start)) >>> 0;
    if (handle === NOTHING) throw new TypeError("what the function given to map returned cannot be encoded");
    return RemotePromiseState.result(tub, handle).proxy;
  }

  pendingName(): string {
    return coreState(this.handle);
  }

  hold(): void {
    this.isHeld = true;
    dropWith(this, wasm.drop_handle, this.handle);
  }

  override held(): PromiseState | undefined {
    return this.isHeld ? this : undefined;
  }

  protected stop(reason: unknown): undefined {
    const start = putFailure(reason, this.tub);
    wasm.cancel(this.handle, start, tape.end(start));
    this.settle(true, reason);
  }
}

/** A promise that this program resolves. What is sent to it waits here, with arguments of any kind. */
export class LocalPromiseState extends PromiseState {
  private isResolved = false;
  /** The promise that it was resolved to; its messages go there. */
  private follows: PromiseState | undefined;
  /** The promise that it is made from, by a function. */
  private source: PromiseState | undefined;
  /** What waits until it is known where it goes, in order. */
  private messages: (() => void)[] = [];
  private isForwarding = false;
  private isForsaken = false;
  private wasCancelled = false;
  /** Who wants to know where it leads to, as soon as that is somewhere else. */
  private followers: ((end: PromiseState) => void)[] = [];
  /** Who works on it. */
  onCancel: ((reason: unknown) => void) | undefined;

  constructor() {
    super(homeTub());
  }

  /** A promise for what comes of a message, or for what a function makes of another's outcome. */
  static result(source?: PromiseState): LocalPromiseState {
    const promise = new LocalPromiseState();
    promise.isResult = true;
    promise.source = source;
    return promise;
  }

  /** Resolves the promise, unless that was done before. */
  resolve(value: unknown): void {
    if (this.isResolved) {
      // Whoever cancelled it needs no failure that comes late, either.
      if (this.wasCancelled && value instanceof Promise) value.catch(() => {});
      return;
    }
    this.isResolved = true;
    this.decide(value);
  }

  smash(error: unknown): void {
    if (this.isResolved) return;
    this.isResolved = true;
    this.settle(true, error);
  }

  /** Nobody can resolve it any more. Here it stays pending, as native promises do; but others are not to wait for ever. */
  forsake(): void {
    this.isForsaken = true;
    if (!this.isResolved && this.followers.length) this.breakForsaken();
  }

  private breakForsaken(): void {
    // Without anybody who waits it is nobody's failure.
    this.isLookedAt = true;
    this.smash(new RemoteError("RuntimeError: the resolver was dropped, so nobody will resolve the promise"));
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
    if (value instanceof Deferred) {
      const { onCancel } = this;
      this.onCancel = (reason) => {
        onCancel?.(reason);
        value.cancel();
      };
    }
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
    // Its failure will be this one's, which may follow the one that it leads to.
    other.isLookedAt = true;
    const end = other instanceof LocalPromiseState ? other.end(false) : other;
    if (end === this) return this.settle(true, new TypeError("a promise cannot be resolved to itself"));
    end.isLookedAt = true;
    this.follows = other instanceof LocalPromiseState ? other.end(true) : other;
    this.forward();
    this.tellFollowers();
    end.react(() => this.settle(end.state === BROKEN, end.value), this);
  }

  /**
   * The last of the promises that this one was resolved to one after the other; if it is for messages, at most the first
   * one in which earlier ones wait still.
   */
  private end(isForMessages: boolean): PromiseState {
    let last: PromiseState = this;
    while (last instanceof LocalPromiseState && last.follows && !(isForMessages && last.messages.length)) last = last.follows;
    // The next time the way is shorter.
    let here: PromiseState = this;
    while (isForMessages && here instanceof LocalPromiseState && here !== last) {
      const next: PromiseState = here.follows!;
      here.follows = last;
      here = next;
    }
    return last;
  }

  override settle(broken: boolean, value: unknown): void {
    if (!this.isPending) return;
    this.isResolved = true;
    this.onCancel = undefined;
    this.source = undefined;
    super.settle(broken, value);
    this.forward();
    this.tellFollowers();
    this.letGo();
  }

  override held(): PromiseState | undefined {
    if (this.messages.length) return this;
    const end = this.end(true);
    return end === this ? undefined : end.held();
  }

  // What waits is sent on before anything that is sent later, and no deeper in the stack.

  private forward(): void {
    if (!this.messages.length || this.isForwarding) return;
    this.isForwarding = true;
    inOrder(() => {
      for (const message of this.messages) message();
      this.messages = [];
      this.isForwarding = false;
      this.letGo();
    });
  }

  /** Lets go of the promise that it was resolved to, once nothing has to go through that. */
  private letGo(): void {
    if (!this.isPending && !this.messages.length && !this.end(true).held()) this.follows = undefined;
  }

  /** Where the messages that have waited go: on, or, once this one has settled, to what it has become. */
  private next(): PromiseState {
    return this.follows instanceof LocalPromiseState ? this.follows.end(true) : (this.follows ?? this);
  }

  protected sendPending(selector: string | null, args: unknown[], wanted: Wanted): unknown {
    if (recorded.isFar) throw new TypeError("a function given to _map can send to what peers can reach only: not to a promise of this program");
    if (this.follows && !this.messages.length) return this.next().pass(selector, args, wanted);
    // The answer is the one that was promised, however often the message has to wait: a chain of them has a link for each.
    const result = wanted === true ? LocalPromiseState.result() : wanted;
    this.messages.push(() => {
      // Cancelled before it was sent.
      if (result && !result.isPending) return;
      const next = this.next();
      try {
        if (next === this) this.passToOutcome(selector, args, result);
        else next.pass(selector, args, result);
      } catch (error) {
        if (result) result.smash(error);
        else report(error);
      }
    });
    return result && result.proxy;
  }

  protected mapPending(f: (item: unknown) => unknown): unknown {
    if (this.follows && !this.messages.length) return this.next().map(f);
    const result = LocalPromiseState.result();
    this.messages.push(() => {
      if (!result.isPending) return;
      try {
        result.resolve(this.next().map(f));
      } catch (error) {
        result.smash(error);
      }
    });
    return result.proxy;
  }

  protected sendToValue(selector: string | null, args: unknown[], wanted: Wanted): unknown {
    if (selector === GET && wanted) return answer(wanted, this.getPart(args as (string | number)[]));
    return sendNear(this.value, selector, args, wanted);
  }

  protected writePending(from: Origin, depth: number): void {
    const next = this.next();
    if (next !== this) return next.writeFor(from, depth);
    tape.putNumbered(tape.PROMISE, from.adoptOwn(this));
  }

  pendingName(): string {
    const end = this.end(false);
    return end === this ? "eventual" : end.name();
  }

  /** Calls `f` as soon as it is known what the promise is resolved to, with that or, when it has settled, with itself. */
  onceKnown(f: (known: PromiseState) => void): void {
    const next = this.isPending ? this.next() : this;
    if (next !== this || !this.isPending) return f(next);
    this.followers.push(f);
    if (this.isForsaken) this.breakForsaken();
  }

  private tellFollowers(): void {
    const { followers } = this;
    if (!followers.length) return;
    this.followers = [];
    for (const f of followers) inOrder(() => this.onceKnown(f));
  }

  protected stop(reason: unknown): PromiseState | undefined {
    const { onCancel, follows, source } = this;
    this.wasCancelled = true;
    this.settle(true, reason);
    onCancel?.(reason);
    return follows ?? source;
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

/** A function given to `_map` is called once, and for no item in particular: there is no value to wait for. */
function refuseInMap(): void {
  if (recorded.isFar || recorded.isHere) {
    throw new TypeError("a function given to _map cannot wait for values: it only says what is to be sent to each item; use _then on " +
      "what _map returns");
  }
}

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
