// Waiting for several Deferreds. Who counts, and when there is a result, is decided in WebAssembly
// (core/src/deferred/gather.rs, wasm/src/deferred/several.rs).
import { FailureGroup, FirstError } from "./deferred-errors.js";
import { Deferred, reportUnhandled } from "./deferred.js";
import { dropWith, wasm } from "./wasm.js";

/** What an arrival means; see wasm/src/deferred/several.rs. */
const FIRST = 1, ALL = 2, CONSUMED = 4;

/** One result of a {@link DeferredList}: whether it is a value, and the value or the error. */
export type ListResult<T> = readonly [true, T] | readonly [false, Error];

/** When a {@link DeferredList} fires, and what becomes of errors. */
export interface ListOptions {
  /** The first value is the result: `[value, index]`. Default: false. */
  fireOnOneCallback?: boolean;
  /** The first error is the result, as a {@link FirstError}. Default: false. */
  fireOnOneErrback?: boolean;
  /** Errors are taken from the Deferreds in the list, which go on with `undefined`. Default: false. */
  consumeErrors?: boolean;
}

type Several = readonly PromiseLike<unknown>[];
type Values<A extends Several> = { -readonly [K in keyof A]: Awaited<A[K]> };
type ListResults<A extends Several> = { -readonly [K in keyof A]: ListResult<Awaited<A[K]>> };
/** What a list fires with. */
export type ListOutcome<A extends Several, O extends ListOptions> =
  | ListResults<A>
  | (O extends { fireOnOneCallback: true } ? [value: Awaited<A[number]>, index: number] : never);

function bit(flag: boolean | undefined): number {
  return flag ? 1 : 0;
}

function toDeferreds(inputs: Several): Deferred<unknown>[] {
  return Array.from(inputs, (input) => (input instanceof Deferred ? input : Deferred.fromPromise(input)));
}

function cancelAll(deferreds: readonly Deferred<any>[], except = -1): void {
  for (let i = 0; i < deferreds.length; i++) {
    if (i === except) continue;
    try {
      deferreds[i]!.cancel();
    } catch (error) {
      // What one canceller throws must not keep the others from being called.
      reportUnhandled(error, deferreds[i]!);
    }
  }
}

/**
 * A Deferred for the results of several Deferreds or promises, in their order, whether they are values or errors:
 * a list of `[true, value]` and `[false, error]`.
 *
 * Each Deferred goes on with its own result, so an error in it is still to be handled there, unless `consumeErrors`
 * is set. Cancelling the list cancels them all.
 *
 * @example
 * ```ts
 * const list = new DeferredList([succeed(1), fail(new Error("no"))], { consumeErrors: true });
 * for (const [isValue, result] of await list) console.log(isValue, isValue ? result : result.message); // true 1, false no
 * ```
 */
export class DeferredList<const A extends Several, const O extends ListOptions = {}> extends Deferred<ListOutcome<A, O>> {
  readonly #inputs: Deferred<any>[];
  readonly #results: ListResult<unknown>[] = [];
  readonly #number: number;

  constructor(inputs: A, options?: O) {
    super();
    const { fireOnOneCallback, fireOnOneErrback, consumeErrors } = options ?? ({} as ListOptions);
    this.#inputs = toDeferreds(inputs);
    const number = wasm.gather_new(this.#inputs.length, bit(fireOnOneCallback), bit(fireOnOneErrback), bit(consumeErrors)) >>> 0;
    this.#number = number;
    dropWith(this, wasm.gather_drop, number);
    if (wasm.gather_is_done(number)) this.callback(this.#results as unknown as ListOutcome<A, O>);
    this.#inputs.forEach((input, index) => {
      input.addCallbacks(
        (value) => {
          this.#arrived(index, [true, value]);
          return value;
        },
        (error) => {
          if (this.#arrived(index, [false, error])) throw error;
        },
      );
    });
  }

  /** Returns false if the error is consumed. */
  #arrived(index: number, result: ListResult<unknown>): boolean {
    this.#results[index] = result;
    const verdict = wasm.gather_arrive(this.#number, index, bit(!result[0]));
    // Somebody may have fired it by hand.
    const isDue = !this.called;
    if (isDue && verdict & ALL) this.callback(this.#results as unknown as ListOutcome<A, O>);
    if (isDue && verdict & FIRST) {
      if (result[0]) this.callback([result[1], index] as ListOutcome<A, O>);
      else this.errback(new FirstError(result[1], index));
    }
    return (verdict & CONSUMED) === 0;
  }

  /** Cancels every Deferred of the list, unless it has fired. */
  override cancel(): void {
    if (!this.called) cancelAll(this.#inputs);
    // It may wait for what one of its callbacks returned.
    else super.cancel();
  }
}

/**
 * A Deferred for the values of several Deferreds or promises, in their order. It fails with the first failure, as a
 * {@link FirstError}. The others go on; cancelling it cancels them all.
 *
 * @example
 * ```ts
 * const [one, two] = await gatherResults([succeed(1), Promise.resolve("two")]);
 * console.log(one, two); // 1 two
 * ```
 */
export function gatherResults<const A extends Several>(
  inputs: A,
  { consumeErrors = false }: Pick<ListOptions, "consumeErrors"> = {},
): Deferred<Values<A>> {
  const list = new DeferredList<Several>(inputs, { fireOnOneErrback: true, consumeErrors });
  return list.addCallback((results) => results.map(([, value]) => value)) as Deferred<any>;
}

/**
 * A Deferred for the first value that one of several Deferreds or promises has: `[index, value]`. The others are
 * cancelled. If all fail, so does it, with a {@link FailureGroup}. Errors of theirs are handled by that, and cancelling
 * it cancels them all.
 *
 * @example
 * ```ts
 * const never = new Deferred<string>();
 * const [index, value] = await race([never, succeed("quick")]);
 * console.log(index, value); // 1 quick
 * ```
 */
export function race<const A extends Several>(inputs: A): Deferred<[index: number, value: Awaited<A[number]>]> {
  const deferreds = toDeferreds(inputs);
  const errors: Error[] = [];
  const result = new Deferred<[number, any]>(() => cancelAll(deferreds));
  const number = wasm.race_new(deferreds.length) >>> 0;
  dropWith(result, wasm.race_drop, number);
  deferreds.forEach((input, index) => {
    input.addCallbacks(
      (value) => {
        if (!wasm.race_succeeded(number)) return;
        cancelAll(deferreds, index);
        if (!result.called) result.callback([index, value]);
      },
      (error) => {
        errors[index] = error;
        if (wasm.race_failed(number, index) && !result.called) result.errback(new FailureGroup(errors));
      },
    );
  });
  return result;
}
