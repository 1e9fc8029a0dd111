// The tub: a place where objects live, and from where others' objects are reached.
import { Connection } from "./connection.js";
import { Deferred } from "./deferred.js";
import { CancelledError } from "./deferred-errors.js";
import { RemoteError, report } from "./errors.js";
import { Referenceable, slotOf } from "./objects.js";
import { platform, type ListenOptions, type Listener } from "./platform.js";
import { Ports } from "./ports.js";
import { RemotePromiseState } from "./promise.js";
import { type Parsed, SturdyRef, parse } from "./sturdy.js";
import * as tape from "./tape.js";
import { type ReconnectOptions, Reconnector } from "./reconnector.js";
import type { RemotePromise, RemoteReference } from "./types.js";
import { type Origin, type Own, putFailure, putValue } from "./values.js";
import { NOTHING, wasm } from "./wasm.js";

/**
 * Bounds on what a peer may make this side hold. A peer that passes one is cut off, and the reason names the limit.
 *
 * @example
 * ```ts
 * const tub = new Tub({ limits: { maxMessageBytes: 1 << 20 } });
 * ```
 */
export interface Limits {
  /** Longest message, in bytes. Default: 64 MiB. */
  maxMessageBytes?: number;
  /** Deepest nesting of arrays and objects, at most 1000. Default: 64. */
  maxDepth?: number;
  /** Most digits in one integer. Default: 10,000. */
  maxDigits?: number;
  /** Most references in one message. Default: 65,536. */
  maxReferences?: number;
  /** Most of our objects that one peer may hold. Default: 1,048,576. */
  maxExports?: number;
  /** Most of one peer's objects held at once. Default: 1,048,576. */
  maxImports?: number;
  /** Most results kept for a peer that has not collected them. Default: 1,048,576. */
  maxAnswers?: number;
  /** Most bytes waiting for a peer that does not read. Default: 256 MiB. */
  maxUnsentBytes?: number;
  /** Most bytes of a peer's messages that wait here in promises and queues. Default: 256 MiB. */
  maxWaitingBytes?: number;
  /** Most calls that one `_map` of a peer's may ask for. Default: 1,000,000. */
  maxMapCalls?: number;
  /** Most gifts kept of one peer for others. Default: 10,000. */
  maxGifts?: number;
  /** Most bytes of one argument of a call, as it is encoded; a call with a longer one breaks. Default: 64 MiB. */
  maxArgumentBytes?: number;
  /** Most calls in a second, after a pause as many at once. Default: 1,000,000. */
  maxCallsPerSecond?: number;
  /** Most connections that come from one address, of IPv6 from one network. Default: 16,384. In Node only. */
  maxConnectionsPerAddress?: number;
  /** Longest time from connecting to an established session, in milliseconds. Default: 30,000. */
  handshakeMs?: number;
  /** Longest time without a byte from the peer, in milliseconds; 0, the default, for no end. */
  idleMs?: number;
}

export interface TubOptions {
  /** The dialect of the wire, such as `"endo-1.1"`. Default: `"marotte"`. */
  profile?: string;
  /** What peers may make this side hold. */
  limits?: Limits;
  /** Lets peers see where in this program a method failed: {@link RemoteError.traceback}. Default: `false`. */
  tracebacks?: boolean;
  /**
   * Who the tub is: 32 secret random bytes, to be kept where nobody else reads them. Its public name is made of them.
   * Default: new ones.
   */
  key?: Uint8Array;
  /**
   * Introduces a peer that is passed an object of another peer's to that one: it connects there, instead of calling the
   * object through this tub. Default: `false`.
   */
  introduce?: boolean;
  /**
   * Takes peers that connect for whom they say they are, so that their connections are used to fetch from them by URI,
   * too. Nothing proves it without encryption: whoever takes another's name is sent the secrets in references to that
   * one. Default: `false`.
   */
  believe?: boolean;
}

/** Counters of all of a tub's connections: see {@link Tub.stats}. */
export interface Stats {
  /** CapTP messages written. */
  messages_sent: number;
  /** CapTP messages read. */
  messages_received: number;
  /** Calls made that want an answer. */
  calls_sent: number;
  /** Calls received. */
  calls_received: number;
  /** How often a call had to wait for the answer to an earlier one before it was made. */
  round_trips: number;
  /** WebSocket writes. */
  writes: number;
  /** WebSocket messages read. */
  reads: number;
  /** Bytes written. */
  bytes_sent: number;
  /** Bytes read. */
  bytes_received: number;
  /** Objects of ours that peers hold now. */
  exports: number;
  /** Objects of peers that are held here now. */
  imports: number;
  /** Calls that wait for an answer now. */
  questions: number;
  /** Results kept for peers now. */
  answers: number;
}

/** Bytes by which a WebSocket message, which may hold many CapTP messages, may be longer than one of them. */
const SLACK = 16 << 20;

/** The tubs by number, for calls from WebAssembly; a closed one as long as anybody holds a reference of its. */
const tubs: (Tub | WeakRef<Tub> | undefined)[] = [];
const collected = new FinalizationRegistry((number: number) => {
  tubs[number] = undefined;
  wasm.tub_drop(number);
});
const utf8 = new TextEncoder();
/** The ports of the tub that is being made, if it shares those of another. */
let inherited: Ports | undefined;
/** How to stop what works on promises, by handle. */
const aborts = new Map<number, (reason: unknown) => void>();

/** The promise of that handle is needed no more. */
export function cancelled(handle: number): void {
  try {
    aborts.get(handle)?.(new CancelledError("the caller has cancelled the call"));
  } catch (error) {
    report(error);
  }
}

/**
 * A place where objects live, and from where others' objects are reached.
 *
 * @example
 * ```ts
 * const tub = new Tub();
 * const status = tub.getReference<Status>("ocapn://….websocket/s/c3RhdHVz?url=ws%3A//127.0.0.1%3A8080");
 * // Three dependent calls, one round trip:
 * console.log(await status.getBuilder("linux").getBuild(-1).getResults());
 * tub.close();
 * ```
 */
export class Tub implements Origin {
  /** @internal */
  readonly number: number;
  /** @internal */
  readonly maxDepth: number;
  /** @internal */
  readonly maxBytes: number;
  /** @internal */
  readonly showsTracebacks: boolean;
  /** @internal */
  readonly handshakeMs: number;
  /** @internal */
  readonly maxPerAddress: number;
  /** @internal */
  readonly designator: string;
  /** @internal */
  readonly connections = new Set<Connection>();
  // A private name, because its keys are secrets: what prints a tub, or a reference with its tub, shows none.
  readonly #registered = new Map<string, object>();
  private readonly ports: Ports;
  private readonly reconnectors = new Set<Reconnector>();
  private readonly options: TubOptions;
  /** @internal */
  isClosed = false;

  constructor(options: TubOptions = {}) {
    const { profile = "marotte", limits = {}, tracebacks = false, introduce = false, believe = false, key } = options;
    this.options = { profile, limits, tracebacks, introduce, believe };
    this.ports = inherited ?? new Ports();
    if (key !== undefined && !(key instanceof Uint8Array && key.length === 32)) throw new TypeError("a tub's key is 32 secret random bytes");
    this.showsTracebacks = tracebacks;
    this.maxBytes = limits.maxMessageBytes ?? 64 << 20;
    // A message and its arguments are containers, too.
    this.maxDepth = Math.min(limits.maxDepth ?? 64, 1000) - 4;
    this.maxPerAddress = limits.maxConnectionsPerAddress ?? 16_384;
    this.handshakeMs = limits.handshakeMs ?? 30_000;
    const start = tape.begin();
    tape.putText(tape.STR, profile);
    tape.putBytes(key ?? secret());
    tape.putTag(tape.DICT);
    for (const [name, value] of Object.entries(limits)) {
      if (value === undefined) continue;
      tape.putText(tape.KEY, name);
      tape.putNumber(typeof value === "number" && value >= 0 ? value : 0);
    }
    tape.putTag(tape.END_DICT);
    this.number = wasm.tub_new(start, tape.end(start), ...([tracebacks, introduce, believe] as unknown as [number, number, number])) >>> 0;
    if (this.number === NOTHING) {
      throw new TypeError(`no such profile, or no such limit: ${JSON.stringify({ profile, limits })} (profiles: ${profiles()})`);
    }
    wasm.tub_name(this.number);
    tape.read(wasm.result_address());
    this.designator = tape.getString() ?? "";
    tubs[this.number] = this;
    this.ports.join(this);
  }

  /**
   * Another tub, with a new identity (or the one that `key` makes) and the same options, that is found where this one
   * is, now and later: each of their encrypted listeners is the other's, too, and whoever connects says by the key in
   * the URI whom they want. Listeners in plain text are not shared.
   *
   * It is cheap, and closing it breaks the references to its objects, and no others: a lifetime for objects that are to
   * end together. Listeners close with the last tub that is found there.
   *
   * @example
   * ```ts
   * const visit = shop.makeTub();
   * const uri = visit.registerReference(new Cart());
   * // ... and when the visitor has left:
   * await visit.close();
   * ```
   */
  makeTub(options: Pick<TubOptions, "key"> = {}): Tub {
    if (this.isClosed) throw new Error("the tub is closed");
    inherited = this.ports;
    try {
      return new Tub({ ...this.options, ...options });
    } finally {
      inherited = undefined;
    }
  }

  /** @internal */
  static numbered(number: number): Tub | undefined {
    const tub = tubs[number];
    return tub instanceof WeakRef ? tub.deref() : tub;
  }

  /** @internal */
  get maxSocketBytes(): number {
    return this.maxBytes + SLACK;
  }

  /**
   * Listens for other tubs, so that objects can be registered. In Node only: a browser cannot listen.
   *
   * @example
   * ```ts
   * const tub = new Tub();
   * const listener = await tub.listen("ws://127.0.0.1:8080"); // or { port: 8080 }; port 0 lets the system choose
   * console.log(listener.url); // ws://127.0.0.1:8080
   * ```
   *
   * With `noise+ws://host:port`, or `encrypted: true`, what is inside of the WebSockets is encrypted, and both ends show
   * by their keys who they are, whatever proxies stand between.
   */
  async listen(address: string | ListenOptions = {}): Promise<Listener> {
    const options = typeof address === "string" ? listenOptions(address) : address;
    if (this.isClosed) throw new Error("the tub is closed");
    return this.ports.listen(this, options);
  }

  /**
   * Makes an object reachable, and returns the URI by which others reach it: whoever knows that may use the object.
   * Without a name it holds a random secret. In Node, `uriFile` names a file that keeps it, for its owner to read only:
   * the next run of the program gets the same, if it has the same `key`, too.
   *
   * @example
   * ```ts
   * const uri = tub.registerReference(new Status(), "status"); // or { name: "status" }
   * ```
   */
  registerReference(
    object: Referenceable | ((...args: never[]) => unknown),
    options: string | { name?: string; uriFile?: string } = {},
  ): string {
    if (!this.ports.has(this)) throw new Error("only a tub that listens can register objects: await tub.listen() first");
    if (typeof object === "function" && object.prototype instanceof Referenceable) {
      throw new TypeError(`${object.name} is a class; register an object of it: new ${object.name}()`);
    }
    if (!(object instanceof Referenceable || typeof object === "function")) {
      throw new TypeError("only a function or an object whose class extends Referenceable can be registered");
    }
    const { name, uriFile } = typeof options === "string" ? { name: options } : options;
    if (uriFile !== undefined) {
      if (name !== undefined) throw new TypeError("a name makes the URI the same already; leave out name or uriFile");
      return platform.keep(uriFile, (kept) => this.register(object, this.swissOf(kept, uriFile)));
    }
    return this.register(object, name === undefined ? secret() : utf8.encode(name));
  }

  /** The swiss number of the URI that is kept in a file; a new one if there is none. */
  private swissOf(kept: string | undefined, file: string): Uint8Array {
    if (kept === undefined) return secret();
    let parsed: Parsed;
    try {
      parsed = parse(kept);
    } catch (error) {
      throw new Error(`${file} holds no ocapn:// reference`, { cause: error });
    }
    const { designator, swiss } = parsed;
    if (designator === this.designator) return Uint8Array.from(swiss, (char) => char.charCodeAt(0));
    throw new Error(`${file} holds a reference to an object of another tub's; a URI is kept only together with the tub's key`);
  }

  private register(object: object, swiss: Uint8Array): string {
    const start = tape.begin();
    tape.putBytes(swiss);
    tape.putNumbered(tape.OBJECT, slotOf(object, []));
    wasm.register(this.number, start, tape.end(start));
    tape.read(wasm.result_address());
    const uri = tape.getString() ?? "";
    this.#registered.set(String.fromCharCode(...swiss), object);
    return uri;
  }

  /** Takes a registration back. Whoever has the object keeps it. False if nothing was registered so. */
  unregisterReference(uri: string | SturdyRef): boolean {
    const { designator, swiss } = parse(String(uri));
    if (designator !== this.designator || !this.#registered.delete(swiss)) return false;
    const start = tape.begin();
    tape.putText(tape.STR, String(uri));
    return wasm.unregister(this.number, start, tape.end(start)) !== 0;
  }

  /**
   * Breaks every reference to an object of this program's that peers have or will have by this tub, however they came to
   * it: what they call fails. It is registered no more; this program still reaches it. There is no way back. False if it
   * was revoked before.
   *
   * @example
   * ```ts
   * const log = new Log();
   * await peer.use(log);
   * tub.revoke(log);
   * ```
   */
  revoke(object: Referenceable | ((...args: never[]) => unknown)): boolean {
    for (const [swiss, registered] of this.#registered) if (registered === object) this.#registered.delete(swiss);
    return wasm.revoke(this.number, slotOf(object, [])) !== 0;
  }

  /**
   * The object that a URI names: a promise, at once. Calls on it go out together with the greeting, so nothing need
   * be awaited first. Tubs keep one connection for each peer.
   *
   * @example
   * ```ts
   * const counter = tub.getReference<Counter>(uri);
   * console.log(await counter.increment());
   * ```
   */
  getReference<T = any>(uri: string | SturdyRef): RemotePromise<T> {
    if (this.isClosed) throw new Error("the tub is closed");
    const { transport, designator, swiss, hints } = parse(String(uri));
    if (designator === this.designator) {
      const object = this.#registered.get(swiss);
      const error = new RemoteError("KeyError: no object is registered under that swiss number");
      return RemotePromiseState.settled(this, !object, object ?? error).proxy as RemotePromise<T>;
    }
    const connection = this.connectionTo(transport, designator, urlsOf(hints));
    const start = tape.begin();
    tape.putBytes(Uint8Array.from(swiss, (char) => char.charCodeAt(0)));
    const handle = wasm.fetch_registered(this.number, connection.number, start, tape.end(start)) >>> 0;
    return new RemotePromiseState(this, handle).proxy as RemotePromise<T>;
  }

  /**
   * Keeps a connection to the object that a URI names: it connects now, and whenever the connection is lost again, after
   * times that grow while it fails: from a second by a factor of 1.6 to two minutes, a fifth more or less.
   * `onConnect(reference)` is called each time. What was called over a connection that is lost breaks, and is not sent
   * again. It ends with the tub, or by {@link Reconnector.stop}.
   *
   * @example
   * ```ts
   * const reconnector = tub.connectTo<Status>(uri, (status) => status.subscribe(page));
   * ```
   */
  connectTo<T = any>(uri: string | SturdyRef, onConnect?: (reference: RemoteReference<T>) => unknown, options: ReconnectOptions = {}): Reconnector<T> {
    if (this.isClosed) throw new Error("the tub is closed");
    const reconnector = new Reconnector<T>(this, uri, onConnect, options);
    for (const old of this.reconnectors) if (old.state === "stopped") this.reconnectors.delete(old);
    this.reconnectors.add(reconnector);
    return reconnector;
  }

  /**
   * Notes from now on who sends what, because of which message: every turn of this tub and every message that is sent in
   * it, the newest `events` (100,000). Returns how to end that: a function that gives the picture as JSON, in Chrome's
   * trace format, which https://ui.perfetto.dev shows. `name` is the tub's there.
   *
   * A message has one name at both ends, so the notes of several programs make one picture: put their lists `traceEvents`
   * together. What an async function does after it has awaited something is not known to be part of its turn.
   *
   * @example
   * ```ts
   * const end = tub.trace("page");
   * await status.getBuilder("linux").getBuild(-1).getResults();
   * download("page.json", end());
   * ```
   */
  trace(name: string = this.designator, { events = 100_000 }: { events?: number } = {}): () => string {
    const start = tape.begin();
    tape.putText(tape.STR, name);
    wasm.trace_begin(this.number, events, start, tape.end(start));
    let json: string | undefined;
    return () => {
      if (json === undefined) {
        wasm.trace_end(this.number);
        wasm.trace_json(this.number);
        tape.read(wasm.result_address());
        json = tape.getString() ?? "";
      }
      return json;
    };
  }

  /**
   * Counters of all connections, so that claims about the wire can be checked.
   *
   * @example
   * ```ts
   * const before = tub.stats().round_trips;
   * await status.getBuilder("linux").getBuild(-1).getResults();
   * console.log(tub.stats().round_trips - before); // 1
   * ```
   */
  stats(): Stats {
    wasm.tub_stats(this.number);
    tape.read(wasm.result_address());
    return tape.get() as Stats;
  }

  /** Ends every connection and stops listening. Calls that wait for an answer fail. */
  close(): Promise<void> {
    if (this.isClosed) return Promise.resolve();
    this.isClosed = true;
    for (const reconnector of this.reconnectors) reconnector.stop();
    this.reconnectors.clear();
    for (const connection of this.connections) connection.abort("the tub was closed");
    // What was registered may lead back to the tub.
    this.#registered.clear();
    wasm.tub_close(this.number);
    tubs[this.number] = new WeakRef(this);
    collected.register(this, this.number);
    return this.ports.leave(this);
  }

  [Symbol.dispose](): void {
    void this.close();
  }

  /** The number of the connection to a peer, `designator.transport`, that was introduced. @internal */
  dial(peer: string, urls: string[]): number {
    const dot = peer.lastIndexOf(".");
    try {
      return this.connectionTo(peer.slice(dot + 1), peer.slice(0, dot), urls).number;
    } catch {
      // The core says that it cannot be reached.
      return NOTHING;
    }
  }

  /** The connection to a peer: one that is open, one that is being made, or a new one. */
  private connectionTo(transport: string, designator: string, urls: string[]): Connection {
    const start = tape.begin();
    tape.putText(tape.STR, transport);
    tape.putText(tape.STR, designator);
    const known = Connection.numbered(wasm.connection_to(this.number, start, tape.end(start)) >>> 0);
    if (known) {
      known.goFurther(usableOf(urls));
      return known;
    }
    const peer = `${designator}.${transport}`;
    if (urls.length === 0) {
      throw new TypeError(`${peer} cannot be reached from JavaScript: its URI has no hint "url". Let the peer listen ` +
        "on a WebSocket, noise+ws:// or ws://, and use the URI that it gives out then (ocapn://….noise/s/…?url=ws://host:port).");
    }
    const usable = usableOf(urls);
    if (usable.length === 0) throw new TypeError(`the hint "url" must begin with ws:// or wss://: ${urls.join(", ")}`);
    return Connection.to(this, transport, designator, usable);
  }

  /** @internal */
  forget(connection: Connection): void {
    this.connections.delete(connection);
  }

  // What values need.

  /** @internal */
  adopt(promise: PromiseLike<unknown>, abort?: (reason: unknown) => void): number {
    const handle = wasm.promise_new(this.number) >>> 0;
    if (abort) {
      wasm.on_cancel(handle);
      aborts.set(handle, abort);
    }
    // Of a kind that never calls back before it returns: the handle is not in use yet.
    Promise.resolve(promise).then(
      (value) => this.settle(handle, { isBroken: false, value }),
      (value: unknown) => this.settle(handle, { isBroken: true, value }),
    );
    return handle;
  }

  private breakPromise(handle: number, error: unknown): void {
    aborts.delete(handle);
    const start = putFailure(error, this);
    wasm.promise_break(handle, start, tape.end(start));
  }

  /** @internal */
  adoptOwn(promise: Own, onCancel?: (reason: unknown) => void): number {
    const handle = wasm.promise_new(this.number) >>> 0;
    if (onCancel) {
      wasm.on_cancel(handle);
      aborts.set(handle, onCancel);
    }
    promise.isLookedAt = true;
    const know = (known: Own): void => {
      if (!known.isPending) this.settle(handle, known);
      else if (known.onceKnown) known.onceKnown(know);
      else {
        // The core goes on from here: only there is it seen if the promises lead in a circle.
        const start = tape.begin();
        known.writeFor(this, 0);
        wasm.promise_follow(handle, start, tape.end(start));
        known.react(() => {
          aborts.delete(handle);
          wasm.drop_handle(handle);
        }, undefined, false);
      }
    };
    if (promise.onceKnown) promise.onceKnown(know);
    else know(promise);
    return handle;
  }

  private settle(handle: number, promise: Pick<Own, "isBroken" | "value">): void {
    if (promise.isBroken) return this.breakPromise(handle, promise.value);
    aborts.delete(handle);
    let start: number;
    try {
      start = putValue(promise.value, "result", this);
    } catch (error) {
      return this.breakPromise(handle, error);
    }
    wasm.promise_resolve(handle, start, tape.end(start));
  }

  /** A tape that holds a promise for what a method has returned: a native promise, a Deferred, or another thenable. @internal */
  adopted(promise: PromiseLike<unknown>, abort?: (reason: unknown) => void): number {
    const cancel = !(promise instanceof Deferred) ? abort : (reason: unknown): void => {
      abort?.(reason);
      promise.cancel();
    };
    return this.promiseTape(this.adopt(promise, cancel));
  }

  /** The same for a promise of this program, which is cancelled with its call if nobody else has use for it. @internal */
  adoptedOwn(promise: Own, abort?: (reason: unknown) => void): number {
    const cancel = (reason: unknown): void => {
      abort?.(reason);
      if (promise.isAbandoned()) promise.cancel(reason);
    };
    return this.promiseTape(this.adoptOwn(promise, cancel));
  }

  private promiseTape(handle: number): number {
    const start = tape.begin();
    tape.putNumbered(tape.PROMISE, handle);
    return start;
  }
}

/** 32 secret random bytes. */
function secret(): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(32));
}

const usableOf = (urls: string[]): string[] => urls.filter((url) => /^wss?:\/\//.test(url));

/** The URLs among the hints: of several, the second is `url.2`, as the core's `Location` has it. */
function urlsOf(hints: Record<string, string>): string[] {
  const names = Object.keys(hints).filter((name) => /^url(\.[2-8])?$/.test(name));
  return names.sort().map((name) => hints[name]!);
}

function profiles(): string {
  wasm.profiles();
  tape.read(wasm.result_address());
  return tape.getString() ?? "";
}

/** What `noise+ws://host:port` says. */
function listenOptions(address: string): ListenOptions {
  const found = /^(noise\+)?ws:\/\/(\[[0-9a-fA-F:.]+\]|[^:/]+):(\d+)\/?$/.exec(address);
  if (!found) throw new TypeError(`cannot listen at ${JSON.stringify(address)}; it must be noise+ws://host:port or ws://host:port`);
  return { host: found[2]!.replace(/^\[|\]$/g, ""), port: Number(found[3]), encrypted: found[1] !== undefined };
}
