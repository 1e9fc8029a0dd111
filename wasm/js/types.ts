// How the remote face of an object is typed.
import type { Deferred } from "./deferred.js";
import type { Referenceable } from "./objects.js";
import type { SturdyRef } from "./sturdy.js";

type AnyFunction = (...args: any[]) => unknown;
type IsAny<T> = 0 extends 1 & T ? true : false;

/** Names that are never remote. */
type Local = `_${string}` | keyof object | "then" | "catch" | "finally" | "constructor" | "toJSON" | "toString" | "valueOf" | "inspect";

/** What is passed by reference: a Referenceable, a function, or an interface of nothing but methods. */
type IsReference<T> =
  T extends Referenceable | AnyFunction ? true
  : T extends readonly unknown[] | Uint8Array | ArrayBuffer | Error | SturdyRef ? false
  : T extends object ? ([keyof T] extends [never] ? false : T[keyof T] extends AnyFunction ? true : false)
  : false;

/** What a value is once it has arrived: references in place of objects. */
export type Arrived<T> =
  IsAny<T> extends true ? any
  : T extends void | null | undefined | boolean | number | bigint | string ? T
  : T extends AnyRemotePromise<infer U> ? Arrived<U>
  : T extends RemoteReference<any> ? T
  : T extends PromiseLike<infer U> ? Arrived<U>
  : IsReference<T> extends true ? RemoteReference<T>
  : T extends ArrayBuffer | Uint8Array ? Uint8Array
  : T extends Error ? Error
  : T extends object ? { [K in keyof T]: Arrived<T[K]> }
  : never;

/** What may be given where a far method wants a `T`: the value, a promise for it, or a reference to it. */
export type Argument<T> =
  | T
  | AnyRemotePromise<T>
  | (IsReference<T> extends true ? ReferenceTo<T> : never)
  | (T extends RemoteReference<infer U> ? U : never)
  | (IsReference<T> extends true ? never : T extends readonly unknown[] | Uint8Array ? never
    : T extends object ? { [K in keyof T]: Argument<T[K]> } : never);

type Arguments<A extends unknown[]> = { [K in keyof A]: Argument<A[K]> };

type Methods<T> = {
  readonly [K in keyof T as K extends Local | symbol ? never : T[K] extends AnyFunction ? K : never]:
    T[K] extends (...args: infer A) => infer R ? (...args: Arguments<A>) => RemotePromise<R> : never;
};

type Callable<T> = T extends (...args: infer A) => infer R ? (...args: Arguments<A>) => RemotePromise<R> : unknown;

/** Calls on what a `T` is, as if it were here. */
export type Calls<T> =
  IsAny<T> extends true ? { readonly [method: string]: any; (...args: any[]): RemotePromise<any> }
  : IsReference<T> extends true ? Methods<T> & Callable<T>
  : unknown;

/** Unwraps promises of every kind, so that a promise is never for a promise. */
type Inner<T> = IsAny<T> extends true ? any : T extends AnyRemotePromise<infer U> ? Inner<U> : T extends RemoteReference<infer U> ? U
  : T extends PromiseLike<infer U> ? Inner<U> : T;

declare const promised: unique symbol;
declare const referred: unique symbol;

/** What is at the end of a path. */
export type Part<T, P extends readonly (string | number)[]> =
  IsAny<T> extends true ? any
  : P extends readonly [infer K, ...infer R extends readonly (string | number)[]]
    ? T extends readonly (infer E)[] ? (K extends number ? Part<E, R> : never)
    : K extends keyof T ? Part<T[K], R> : never
  : P extends readonly [] ? T : any;

type Item<T> = IsAny<T> extends true ? any : NonNullable<T> extends readonly (infer E)[] ? E : never;

/** A value with the values of its promises in their places. */
export type Whole<T> =
  IsAny<T> extends true ? any
  : T extends AnyRemotePromise<infer U> ? U
  : T extends PromiseLike<infer U> ? Awaited<U>
  : T extends RemoteReference<any> | Referenceable | AnyFunction | Uint8Array | Error | SturdyRef ? T
  : T extends object ? { [K in keyof T]: Whole<T[K]> }
  : T;

/** The part of a promise that does not depend on what it is for. */
export interface AnyRemotePromise<T> extends PromiseLike<Arrived<T>> {
  readonly [promised]: T;
  /**
   * Runs `f` with the value in a turn of its own, once it is there, or `g` with the reason if the promise breaks. Returns the
   * promise for what that returns.
   */
  _then<U, V = T>(f: (value: Arrived<T>) => U, g?: (error: Error) => V): RemotePromise<U | V>;
  /** Runs `g` with the reason, if the promise breaks; what it returns comes in its place. */
  _except<U>(g: (error: Error) => U): RemotePromise<T | U>;
  /**
   * A promise for the part of the value at the end of a path of keys and indices (negative ones from the end), in the same
   * round trip.
   */
  _get<P extends readonly (string | number)[]>(...path: P): RemotePromise<Part<T, P>>;
  /**
   * Calls `f` once with a promise that stands for the items of the list that this promise is for, and has the messages that
   * it sends sent for each item over there. One message goes out and one comes back, however long the list is: with what
   * `f` returns for each.
   */
  _map<U>(f: (item: RemotePromise<Item<T>>) => U): RemotePromise<Whole<U>[]>;
  /** Breaks the promise, with `reason` or a `CancelledError`, and tells whoever works on it, far away too. */
  _cancel(reason?: unknown): void;
  /** A native promise for the same value. */
  _when(): Promise<Arrived<T>>;
  /** A native promise for the same value, or for what `f` makes of the reason. */
  catch<U = never>(f?: ((error: Error) => U | PromiseLike<U>) | null): Promise<Arrived<T> | U>;
  /** A native promise for the same value, once `f` has run. */
  finally(f?: (() => void) | null): Promise<Arrived<T>>;
  /** Lets go of the result, now rather than when the collector finds it. */
  [Symbol.dispose](): void;
}

/**
 * A promise for what a call gives. It can be awaited; and, where that will be an object, its methods can be called
 * right away: such calls travel with the first one, in the same round trip.
 *
 * @example
 * ```ts
 * const builder: RemotePromise<Builder> = status.getBuilder("linux");
 * const results = await builder.getBuild(-1).getResults();
 * builder._then((reference) => console.log("there it is", reference));
 * ```
 */
export type RemotePromise<T> = AnyRemotePromise<Inner<T>> & Calls<Inner<T>>;

/**
 * A reference to an object elsewhere: what awaiting a {@link RemotePromise} gives, or what arrives as an argument.
 * Its methods can be called; each gives a promise. It is itself no promise, so it can be awaited without harm.
 *
 * @example
 * ```ts
 * const builder: RemoteReference<Builder> = await status.getBuilder("linux");
 * console.log(await builder.getBuild(-1).getResults());
 * ```
 */
export type RemoteReference<T> = Calls<T> & ReferenceTo<T>;

/**
 * Something far: a reference, or a promise for one. Its methods give promises of remotes in turn, so a chain of calls is
 * typed from end to end.
 *
 * @example
 * ```ts
 * function lastResults(builder: Remote<Builder>) {
 *   return builder.getBuild(-1).getResults();
 * }
 * ```
 */
export type Remote<T> = RemoteReference<T> | RemotePromise<T>;

/** What {@link ReferenceTo.notifyOnDisconnect} returns. */
export interface DisconnectWatcher {
  /** Takes it back. */
  forget(): void;
}

/** The part of a reference that does not depend on what it is to. */
export interface ReferenceTo<T> {
  readonly [referred]: T;
  /** Calls a method; a {@link Deferred} for its result, whose `cancel` cancels the call. As in Foolscap. */
  callRemote(method: string, ...args: unknown[]): Deferred<any>;
  /** Calls a method whose result nobody wants. */
  callRemoteOnly(method: string, ...args: unknown[]): void;
  /** Calls `f` once, with the reason, when the connection that the reference came over has ended. */
  notifyOnDisconnect(f: (reason: Error) => unknown): DisconnectWatcher;
  /** Takes a {@link notifyOnDisconnect} back. */
  dontNotifyOnDisconnect(watcher: DisconnectWatcher): void;
  /** Gives the object back to its owner, now rather than when the collector finds it. */
  [Symbol.dispose](): void;
}

/** Something that a message can be sent to. */
export type Target<T> = AnyRemotePromise<T> | RemoteReference<T> | (T & (Referenceable | AnyFunction));

/** As {@link Calls}, but nothing comes back. */
export type CallsOnly<T> =
  IsAny<T> extends true ? { readonly [method: string]: any; (...args: any[]): void }
  : { readonly [K in keyof Methods<T>]: Methods<T>[K] extends (...args: infer A) => unknown ? (...args: A) => void : never }
    & (T extends (...args: infer A) => unknown ? (...args: Arguments<A>) => void : unknown);
