// What the type checker makes of promises: chains complete, and misuse is an error.
import {
  Deferred, Referenceable, type Remote, type RemotePromise, Tub, makePromise, promiseFor, send, sendOnly, state, when,
} from "../../../wasm/dist/index.js";

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function is<_Check extends true>(): void {}

class Build extends Referenceable {
  getResults(): { passed: number; names: string[] } {
    return { passed: 1, names: [] };
  }
}
interface Builder {
  getBuild(number: number): Build;
  getBuilds(): Build[];
}

function last(builder: Remote<Builder>) {
  return builder.getBuild(-1).getResults();
}

export async function right(tub: Tub): Promise<void> {
  const builder = tub.getReference<Builder>("ocapn://…");
  is<Equal<ReturnType<typeof last>, RemotePromise<{ passed: number; names: string[] }>>>();
  last(builder);
  last(await builder);
  is<Equal<Awaited<ReturnType<typeof last>>, { passed: number; names: string[] }>>();
  const passed: number = await last(builder)._get("passed");
  const name: string = await last(builder)._get("names", 0);
  const all: number[] = await builder.getBuilds()._map((build) => build.getResults()._get("passed"));
  const rows = await builder.getBuilds()._map((build) => ({ build, results: build.getResults() }));
  rows[0]!.results.passed + passed + all.length + name.length;
  const text: string = await last(builder)._then((results) => String(results.passed))._except((error) => error.message);
  const [promise, resolve] = makePromise<Build>();
  resolve(new Build());
  resolve(Promise.resolve(new Build()));
  resolve.smash(new Error(text));
  promise.getResults();
  is<Equal<Awaited<ReturnType<ReturnType<typeof send<Build>>["getResults"]>>, { passed: number; names: string[] }>>();
  const near = send(new Map([[1, text]]), { signal: AbortSignal.timeout(5) }).get(1);
  is<Equal<typeof near, RemotePromise<string | undefined>>>();
  sendOnly(new Set<number>()).add(1);
  is<Equal<Awaited<ReturnType<typeof when<5>>>, 5>>();
  const name_: "eventual" | "remote" | "near" | "far" | "broken" = state(promise);
  const deferred: Deferred<any> = (await builder).callRemote("getBuild", -1, name_);
  deferred.cancel();
  promiseFor(Promise.resolve(5))._cancel();
  const watcher = (await builder).notifyOnDisconnect((reason) => reason.message);
  (await builder).dontNotifyOnDisconnect(watcher);
}

export async function wrong(builder: Remote<Builder>): Promise<void> {
  const promise = last(builder);
  // @ts-expect-error a promise is not its value
  promise + 1;
  // @ts-expect-error nor has it its value's properties
  promise.passed;
  // @ts-expect-error it cannot be gone through
  for (const _ of builder as RemotePromise<Builder>) break;
  // @ts-expect-error no such method
  builder.getBuilder("x");
  // @ts-expect-error no such argument
  builder.getBuild("x");
  // @ts-expect-error no such part
  const part: string = await promise._get("passed");
  // @ts-expect-error only lists have items
  promise._map((item: never) => item).length;
  const [, resolve] = makePromise<number>();
  // @ts-expect-error no such value
  resolve(part);
}
