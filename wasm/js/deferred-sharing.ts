// Deferreds for sharing things: locks, semaphores, queues. Whose turn it is, is decided in WebAssembly
// (core/src/deferred/{semaphore,queue}.rs, wasm/src/deferred/sharing.rs); those who wait, and what they wait for, are
// numbered here.
import { QueueOverflow, QueueUnderflow } from "./deferred-errors.js";
import { Deferred, checkValue, maybeDeferred, succeed } from "./deferred.js";
import { dropWith, wasm } from "./wasm.js";

/** Instead of a number, see wasm/src/deferred/sharing.rs: there is none, it may not be. */
const NOBODY = 0xffffffff, REFUSED = 0xfffffffe;

/** Things by numbers that are given out in order. */
class Numbered<T> extends Map<number, T> {
  #last = 0;

  /** The number of the next. */
  next(): number {
    return (this.#last = (this.#last + 1) & 0x7fffffff);
  }

  take(number: number): T {
    const thing = this.get(number)!;
    this.delete(number);
    return thing;
  }
}

/** What locks and semaphores have in common. */
abstract class Tokens {
  readonly #number: number;
  readonly #waiting = new Numbered<Deferred<this>>();

  constructor(tokens: number) {
    const number = wasm.semaphore_new(tokens) >>> 0;
    this.#number = number;
    dropWith(this, wasm.semaphore_drop, number);
  }

  /** How many tokens are there to be had. */
  protected get available(): number {
    return wasm.semaphore_tokens(this.#number) >>> 0;
  }

  /** Those who wait, in order. */
  get waiting(): Deferred<this>[] {
    return [...this.#waiting.values()];
  }

  /** A Deferred that fires, with this object, when it is its turn; {@link release} is due then. Cancelling it leaves the line. */
  acquire(): Deferred<this> {
    const number = this.#waiting.next();
    if (wasm.semaphore_acquire(this.#number, number)) return succeed(this);
    const deferred = new Deferred<this>(() => {
      wasm.semaphore_forget(this.#number, number);
      this.#waiting.delete(number);
    });
    this.#waiting.set(number, deferred);
    return deferred;
  }

  /**
   * Lets the next one have it.
   *
   * @throws {Error} if nobody has it
   */
  release(): void {
    const waiter = wasm.semaphore_release(this.#number) >>> 0;
    if (waiter === REFUSED) throw new Error("released more often than acquired");
    if (waiter !== NOBODY) this.#waiting.take(waiter).callback(this);
  }

  /**
   * Calls a function when it is its turn, and releases when that is done: when what it returned, be it a Deferred or a
   * promise, has a result.
   *
   * @example
   * ```ts
   * const lock = new DeferredLock();
   * const one = lock.run(async () => console.log("first"));
   * const two = lock.run(() => console.log("second"));
   * await gatherResults([one, two]); // first, second
   * ```
   */
  run<A extends unknown[], U>(f: (...args: A) => U, ...args: A): Deferred<Awaited<U>> {
    return this.acquire().addCallback(() =>
      maybeDeferred(f, ...args).addCallbacks(
        (value) => {
          this.release();
          return value;
        },
        (error) => {
          this.release();
          throw error;
        },
      ),
    ) as Deferred<any>;
  }
}

/**
 * A lock that is waited for by a Deferred. First come, first served.
 *
 * @example
 * ```ts
 * const lock = new DeferredLock();
 * const value = await lock.run(() => "nobody else meanwhile");
 * ```
 */
export class DeferredLock extends Tokens {
  constructor() {
    super(1);
  }

  /** True while somebody has it. */
  get locked(): boolean {
    return this.available === 0;
  }
}

/**
 * So many may have it at once.
 *
 * @example
 * ```ts
 * const downloads = new DeferredSemaphore(2);
 * const pages = await gatherResults(urls.map((url) => downloads.run(fetch, url))); // two at a time
 * ```
 */
export class DeferredSemaphore extends Tokens {
  /** How many may have it at once. */
  readonly limit: number;

  constructor(tokens: number) {
    if (!(Number.isInteger(tokens) && tokens > 0 && tokens < NOBODY)) throw new RangeError("a semaphore has one token or more");
    super(tokens);
    this.limit = tokens;
  }

  /** How many more may have it now. */
  get tokens(): number {
    return this.available;
  }
}

function bound(count: number | undefined, what: string): number {
  if (count === undefined) return NOBODY;
  if (Number.isInteger(count) && count >= 0 && count < REFUSED) return count;
  throw new RangeError(`the ${what} of a queue is a whole number, or left out`);
}

/**
 * Items for those who wait, in order on both sides.
 *
 * @example
 * ```ts
 * const queue = new DeferredQueue<string>();
 * queue.get().addCallback((item) => console.log("got", item));
 * queue.put("one"); // got one
 * ```
 */
export class DeferredQueue<T> {
  /** How many items it holds at most. */
  readonly size: number | undefined;
  /** How many may wait for an item at most. */
  readonly backlog: number | undefined;
  readonly #number: number;
  readonly #pending = new Numbered<T>();
  readonly #waiting = new Numbered<Deferred<T>>();

  /**
   * @param size how many items it holds at most; default: any number
   * @param backlog how many may wait for an item at most; default: any number
   */
  constructor(size?: number, backlog?: number) {
    const number = wasm.queue_new(bound(size, "size"), bound(backlog, "backlog")) >>> 0;
    this.#number = number;
    this.size = size;
    this.backlog = backlog;
    dropWith(this, wasm.queue_drop, number);
  }

  /** The items that nobody has asked for yet. */
  get pending(): T[] {
    return [...this.#pending.values()];
  }

  /** Those who wait, in order. */
  get waiting(): Deferred<T>[] {
    return [...this.#waiting.values()];
  }

  /**
   * Adds an item, or hands it to the one who has waited longest.
   *
   * @throws {QueueOverflow} if the queue is full
   * @throws {TypeError} if the item is a Deferred or a promise
   */
  put(item: T): void {
    checkValue(item);
    const number = this.#pending.next();
    const waiter = wasm.queue_put(this.#number, number) >>> 0;
    if (waiter === REFUSED) throw new QueueOverflow(this.size!);
    if (waiter === NOBODY) this.#pending.set(number, item);
    else this.#waiting.take(waiter).callback(item);
  }

  /**
   * A Deferred for the next item. Cancelling it leaves the line.
   *
   * @throws {QueueUnderflow} if too many wait
   */
  get(): Deferred<T> {
    const number = this.#waiting.next();
    const item = wasm.queue_get(this.#number, number) >>> 0;
    if (item === REFUSED) throw new QueueUnderflow(this.backlog!);
    if (item !== NOBODY) return succeed(this.#pending.take(item));
    const deferred = new Deferred<T>(() => {
      wasm.queue_forget(this.#number, number);
      this.#waiting.delete(number);
    });
    this.#waiting.set(number, deferred);
    return deferred;
  }
}
