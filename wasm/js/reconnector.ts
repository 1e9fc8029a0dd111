// Keeping a connection to an object.
import { report } from "./errors.js";
import type { SturdyRef } from "./sturdy.js";
import type { DisconnectWatcher, RemotePromise, RemoteReference } from "./types.js";
import { dropWith, wasm } from "./wasm.js";

/** How long a {@link Reconnector} waits between attempts, in milliseconds. */
export interface ReconnectOptions {
  /** After the first failure. Default: 1000. */
  initialDelay?: number;
  /** At most. Default: 120,000. */
  maxDelay?: number;
}

/** What a reconnector needs of its tub. */
export interface Connector<T> {
  readonly isClosed: boolean;
  getReference(uri: string | SturdyRef): RemotePromise<T>;
}

/**
 * Keeps a connection to an object: see {@link Tub.connectTo}, which makes these. It can be iterated over, by one loop at a
 * time: that gives the object whenever a connection to it was made, until it is stopped. Leaving the loop does not stop it.
 *
 * @example
 * ```ts
 * for await (const status of tub.connectTo<Status>(uri)) {
 *   await status.subscribe(page);
 * }
 * ```
 */
export class Reconnector<T = any> implements AsyncIterable<RemoteReference<T>>, Disposable {
  #state: "connecting" | "connected" | "waiting" | "stopped" = "connecting";
  #reference: RemoteReference<T> | undefined;
  #failure: Error | undefined;
  #attempts = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #since = 0;
  #unseen: RemoteReference<T> | undefined;
  #wake: (() => void)[] = [];
  #watcher: DisconnectWatcher | undefined;
  readonly #backoff: number;

  /** @internal */
  constructor(
    private readonly tub: Connector<T>,
    private readonly uri: string | SturdyRef,
    private readonly onConnect: ((reference: RemoteReference<T>) => unknown) | undefined,
    { initialDelay = 1000, maxDelay = 120_000 }: ReconnectOptions,
  ) {
    this.#backoff = wasm.backoff_new(initialDelay, maxDelay) >>> 0;
    dropWith(this, wasm.backoff_drop, this.#backoff);
    this.#connect();
  }

  /** How it stands. `"connecting"` is also asking for the object; `"waiting"` is for the next attempt. */
  get state(): "connecting" | "connected" | "waiting" | "stopped" {
    return this.#state;
  }

  /** The object, while it is connected. */
  get reference(): RemoteReference<T> | undefined {
    return this.#reference;
  }

  /** Why the last attempt failed, or the last connection was lost. */
  get lastFailure(): Error | undefined {
    return this.#failure;
  }

  /** How often it has tried to connect since it was connected last. */
  get attempts(): number {
    return this.#attempts;
  }

  /** Tries at once, if it waits; the times between attempts begin anew. */
  reset(): void {
    wasm.backoff_reset(this.#backoff);
    if (this.#state === "waiting") this.#connect();
  }

  /** Tries no more. A connection that there is stays. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#state = "stopped";
    this.#reference = this.#unseen = undefined;
    this.#watcher?.forget();
    this.#watcher = undefined;
    this.#tell();
  }

  [Symbol.dispose](): void {
    this.stop();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<RemoteReference<T>, void, undefined> {
    while (this.#state !== "stopped") {
      const reference = this.#unseen;
      this.#unseen = undefined;
      // A reference is a thenable to nobody, but an iteration would look.
      if (reference) yield reference;
      else await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
  }

  #tell(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }

  #connect(): void {
    clearTimeout(this.#timer);
    if (this.tub.isClosed) this.stop();
    if (this.#state === "stopped") return;
    this.#state = "connecting";
    this.#attempts++;
    this.tub.getReference(this.uri).then(
      (reference) => this.#connected(reference as RemoteReference<T>),
      (error: Error) => this.#failed(error, -1),
    );
  }

  #connected(reference: RemoteReference<T>): void {
    if (this.#state === "stopped") return;
    this.#state = "connected";
    this.#since = performance.now();
    this.#attempts = 0;
    this.#reference = this.#unseen = reference;
    // An object of this very tub's is never lost.
    if (typeof reference.notifyOnDisconnect === "function") {
      this.#watcher = reference.notifyOnDisconnect((reason) => this.#failed(reason, performance.now() - this.#since));
    }
    this.#tell();
    // It may be async.
    new Promise<unknown>((resolve) => resolve(this.onConnect?.(reference))).catch(report);
  }

  #failed(error: Error, lastedMs: number): void {
    this.#failure = error;
    if (this.#state === "stopped") return;
    this.#reference = this.#unseen = undefined;
    if (this.tub.isClosed) return this.stop();
    this.#state = "waiting";
    const waitMs = wasm.backoff_next(this.#backoff, lastedMs, Math.floor(Math.random() * 2 ** 32));
    // Unlike the library's other timers this one keeps a process alive, as a connection would.
    this.#timer = setTimeout(() => this.#connect(), Math.min(waitMs, 2 ** 31 - 1));
  }
}
