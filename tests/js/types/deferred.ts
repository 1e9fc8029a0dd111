// What the type checker makes of Deferreds: right use compiles, and each misuse is an error.
import {
  type CancelledError, Deferred, DeferredList, DeferredLock, DeferredQueue, DeferredSemaphore, type ListResult, type RemotePromise,
  fail, gatherResults, maybeDeferred, race, succeed,
} from "../../../wasm/dist/index.js";

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function is<_Check extends true>(): void {}

declare const promise: Promise<string>;
declare const remote: RemotePromise<{ getName(): string }>;
declare const controller: AbortController;
declare function named(value: number, name: string, times?: number): boolean;

export async function right(): Promise<void> {
  const d = new Deferred<number>((it) => it.callback(1));
  is<Equal<typeof d, Deferred<number>>>();
  d.callback(1);
  d.errback(new Error("no"));
  const called: boolean = d.called;
  const nothing = new Deferred<void>();
  nothing.callback();
  new Deferred().callback("anything");

  const value = await d;
  is<Equal<typeof value, number>>();
  const text = d.addCallback((value) => value.toFixed(2));
  is<Equal<typeof text, Deferred<string>>>();
  // Whatever kind of promise a callback returns, its value is what goes on.
  const unwrapped = text.addCallback((text) => succeed(text.length)).addCallback(async (length) => ({ length }))
    .addCallback(({ length }) => Promise.resolve(succeed([length] as const)));
  is<Equal<typeof unwrapped, Deferred<readonly [number]>>>();
  const name = d.addCallback(() => remote.getName());
  is<Equal<typeof name, Deferred<string>>>();
  const either = d.addCallback((value) => (value > 1 ? succeed("many") : value));
  is<Equal<typeof either, Deferred<string | number>>>();
  const thrown = d.addCallback(() => {
    throw new Error("always");
  });
  // TypeScript says void of such a function.
  thrown.addErrback((error) => error.message);

  // More arguments are checked, and typed for the callback.
  const bound = d.addCallback(named, "name");
  is<Equal<typeof bound, Deferred<boolean>>>();
  d.addCallback(named, "name", 3);
  d.addCallback((value, more, flag) => [value + more, flag] as const, 1, true);
  d.addErrback((error, prefix) => prefix + error.message, "prefix");

  // Errbacks add what they return; the error that they were given is none of it.
  const recovered = d.addErrback(() => "instead");
  is<Equal<typeof recovered, Deferred<string | number>>>();
  const passed = d.addErrback((error) => error);
  is<Equal<typeof passed, Deferred<number>>>();
  const both = d.addBoth((result) => {
    is<Equal<typeof result, number | Error>>();
    return result;
  });
  is<Equal<typeof both, Deferred<number>>>();
  const pair = d.addCallbacks((value) => value > 1, (error) => error.message);
  is<Equal<typeof pair, Deferred<string | boolean>>>();
  const half = d.addCallbacks((value) => `${value}`);
  is<Equal<typeof half, Deferred<string>>>();

  const timed = d.addTimeout(100);
  is<Equal<typeof timed, Deferred<number>>>();
  const late = d.addTimeout(100, { onTimeout: (_result, ms) => `after ${ms}` });
  is<Equal<typeof late, Deferred<string | number>>>();

  is<Equal<ReturnType<typeof d.toPromise>, Promise<number>>>();
  const from = Deferred.fromPromise(promise, controller);
  is<Equal<typeof from, Deferred<string>>>();
  const mapped: Promise<string> = d.then((value) => `${value}`);
  const all: [number, string] = await Promise.all([d, from]);
  const maybe = maybeDeferred((a: number, b: string) => (a > 1 ? promise : b), 1, "x");
  is<Equal<typeof maybe, Deferred<string>>>();
  // What always fails can stand wherever a Deferred is due.
  const failed: Deferred<number> = fail(new Error("no"));
  const wide: Deferred<string | number> = d;

  const gathered = gatherResults([d, promise, text]);
  is<Equal<typeof gathered, Deferred<[number, string, string]>>>();
  const many = gatherResults([1, 2].map((n) => succeed(n)));
  is<Equal<typeof many, Deferred<number[]>>>();
  const list = await new DeferredList([d, promise]);
  is<Equal<typeof list, [ListResult<number>, ListResult<string>]>>();
  for (const [isValue, result] of list) {
    if (isValue) void (result satisfies number | string);
    else void (result satisfies Error);
  }
  const first = await new DeferredList([d, promise], { fireOnOneCallback: true });
  is<Equal<typeof first, [ListResult<number>, ListResult<string>] | [value: string | number, index: number]>>();
  const [index, won] = await race([d, promise]);
  is<Equal<typeof won, string | number>>();

  const lock = new DeferredLock();
  const result = lock.run(async (n: number) => `${n}`, 1);
  is<Equal<typeof result, Deferred<string>>>();
  const held: Deferred<DeferredLock> = lock.acquire();
  const urls = new DeferredSemaphore(2).run(fetchText, "url");
  is<Equal<typeof urls, Deferred<string>>>();
  const queue = new DeferredQueue<string>(10);
  queue.put("x");
  is<Equal<ReturnType<typeof queue.get>, Deferred<string>>>();
  Deferred.onUnhandledError = (error: Error | CancelledError) => console.log(error.message);
  void [called, mapped, all, failed, wide, index, held];
}

declare function fetchText(url: string): Promise<string>;

export function wrong(d: Deferred<number>): void {
  // @ts-expect-error a value of the wrong type
  d.callback("text");
  // @ts-expect-error a value is due
  d.callback();
  // @ts-expect-error a promise is no value
  d.callback(Promise.resolve(1));
  // @ts-expect-error a Deferred is none, either
  d.callback(succeed(1));
  // @ts-expect-error only errors are errors
  d.errback("no");
  // @ts-expect-error no such method of a number
  d.addCallback((value) => value.toUpperCase());
  // @ts-expect-error not a function
  d.addCallback(1);
  // @ts-expect-error the callback wants a string first
  d.addCallback((value: string) => value);
  // @ts-expect-error an argument is missing
  d.addCallback(named);
  // @ts-expect-error an argument of the wrong type
  d.addCallback(named, 1);
  // @ts-expect-error an error is no number
  d.addErrback((error: number) => error);
  // @ts-expect-error the value may be an error here
  d.addBoth((result) => result.toFixed());
  // @ts-expect-error what it is after the callback
  d.addCallback(String).addCallback((value: number) => value);
  // @ts-expect-error a Deferred is not its value
  const value: number = d;
  // @ts-expect-error for another type
  const other: Deferred<string> = d;
  // @ts-expect-error read only
  d.called = true;
  // @ts-expect-error the canceller is a function
  new Deferred<number>(5);
  // @ts-expect-error milliseconds
  d.addTimeout("1s");
  // @ts-expect-error plain values are not waited for
  gatherResults([1, 2]);
  // @ts-expect-error no such option
  new DeferredList([d], { consumeError: true });
  // @ts-expect-error items have a type
  new DeferredQueue<string>().put(1);
  // @ts-expect-error the function wants a string
  new DeferredLock().run(fetchText, 1);
  void [value, other];
}
