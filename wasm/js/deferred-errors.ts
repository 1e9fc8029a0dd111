// What Deferreds fail with, and what misuse of them throws.

/**
 * A Deferred was fired twice. After a {@link Deferred.cancel} that no canceller saw to, one late result is let pass
 * without it.
 *
 * @example
 * ```ts
 * const d = new Deferred<number>();
 * d.callback(1);
 * try {
 *   d.callback(2);
 * } catch (error) {
 *   console.log(error instanceof AlreadyCalledError); // true
 * }
 * ```
 */
export class AlreadyCalledError extends Error {
  constructor() {
    super("this Deferred was fired before: callback and errback are called once, by whoever made it");
  }
}

/**
 * The Deferred was cancelled.
 *
 * @example
 * ```ts
 * const d = new Deferred<number>();
 * d.addErrback((error) => console.log(error instanceof CancelledError)); // true
 * d.cancel();
 * ```
 */
export class CancelledError extends Error {
  constructor(message = "the Deferred was cancelled") {
    super(message);
  }
}

/**
 * The Deferred took too long: see {@link Deferred.addTimeout}.
 *
 * @example
 * ```ts
 * const d = new Deferred<number>().addTimeout(50);
 * d.addErrback((error) => console.log(error.message)); // the Deferred had no result after 50 ms
 * ```
 */
export class TimeoutError extends Error {
  /** After how many milliseconds. */
  readonly ms: number;

  constructor(ms: number) {
    super(`the Deferred had no result after ${ms} ms`);
    this.ms = ms;
  }
}

/**
 * The first of several failures; its `cause` is the failure itself.
 *
 * @example
 * ```ts
 * gatherResults([succeed(1), fail(new RangeError("two"))], { consumeErrors: true }).addErrback((error) => {
 *   if (error instanceof FirstError) console.log(error.index, error.subFailure.message); // 1 two
 * });
 * ```
 */
export class FirstError extends Error {
  /** Which of the Deferreds failed. */
  readonly index: number;
  /** What it failed with. */
  readonly subFailure: Error;

  constructor(subFailure: Error, index: number) {
    super(`number ${index} failed: ${subFailure instanceof Error ? subFailure.message : subFailure}`, { cause: subFailure });
    this.index = index;
    this.subFailure = subFailure;
  }
}

/**
 * All who took part in a {@link race} failed.
 *
 * @example
 * ```ts
 * race([fail(new Error("one")), fail(new Error("two"))]).addErrback((error) => {
 *   if (error instanceof FailureGroup) console.log(error.failures.map(({ message }) => message)); // [ 'one', 'two' ]
 * });
 * ```
 */
export class FailureGroup extends AggregateError {
  /** What they failed with, in their order; the same as `errors`. */
  readonly failures: readonly Error[];

  constructor(failures: Error[]) {
    super(failures, `all ${failures.length} failed`);
    this.failures = failures;
  }
}

/** A {@link DeferredQueue} holds as many items as it may. */
export class QueueOverflow extends Error {
  constructor(size: number) {
    super(`the queue is full: it holds ${size}, and nobody waits`);
  }
}

/** As many wait for an item of a {@link DeferredQueue} as may. */
export class QueueUnderflow extends Error {
  constructor(backlog: number) {
    super(`too many wait for an item of the queue: ${backlog} may`);
  }
}

for (const error of [AlreadyCalledError, CancelledError, TimeoutError, FirstError, FailureGroup, QueueOverflow, QueueUnderflow]) {
  Object.defineProperty(error.prototype, "name", { value: error.name });
}
