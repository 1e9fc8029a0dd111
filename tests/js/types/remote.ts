// What the type checker makes of remote calls: right use compiles, and each misuse is an error.
import { Referenceable, type RemotePromise, type RemoteReference, Tub, send, sendOnly, when } from "../../../wasm/dist/index.js";

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function is<_Check extends true>(): void {}

interface Results {
  passed: number;
  failed: string[];
  log?: Uint8Array;
}

class Build extends Referenceable {
  readonly number = 1;
  async getResults(): Promise<Results> {
    return { passed: 1, failed: [] };
  }
  _private() {}
}

/** An interface of methods is as good as a class. */
interface Builder {
  getBuild(number: number): Build;
  getName(): Promise<string>;
}

interface Status {
  getBuilder(name: string): Builder;
  getBuilders(): Builder[];
  getAll(): { first: Builder; count: number; when: [number, string] };
  compare(one: Builder, other: Builder): boolean;
  watch(listener: (results: Results) => void): void;
  makeAdder(by: number): (x: number) => number;
  save(results: Results): void;
  maybe(): Build | undefined;
}

const tub = new Tub({ profile: "marotte", limits: { maxDepth: 10 } });
const status = tub.getReference<Status>("ocapn://…");
declare const mine: Build;
declare const results: Results;

export async function right(): Promise<void> {
  const builder = status.getBuilder("linux");
  is<Equal<typeof builder, RemotePromise<Builder>>>();
  is<Equal<Awaited<ReturnType<typeof builder.getName>>, string>>();
  const found = await builder.getBuild(-1).getResults();
  is<Equal<typeof found, { passed: number; failed: string[]; log?: Uint8Array }>>();
  const reference = await builder;
  is<Equal<typeof reference, RemoteReference<Builder>>>();
  is<Equal<typeof reference, Awaited<typeof reference>>>();
  const name: string = await reference.getName();
  const list = await status.getBuilders();
  is<Equal<typeof list, RemoteReference<Builder>[]>>();
  const all = await status.getAll();
  await all.first.getBuild(all.count + all.when[0]).getResults();
  // Promises, references and objects are equally good arguments.
  is<Equal<Awaited<ReturnType<typeof status.compare>>, boolean>>();
  await status.compare(builder, reference);
  await status.compare(status.getBuilder(name), list[0]!);
  status.save(results);
  status.save(builder.getBuild(1).getResults());
  status.watch((results) => console.log(results.passed));
  const sum: number = await status.makeAdder(1)(2);
  const adder = await status.makeAdder(1);
  const other: number = await adder(sum);
  const maybe = await status.maybe();
  if (maybe) await maybe.getResults();
  builder._then((reference) => reference.getName())._except((error) => error.message);
  const native: Promise<RemoteReference<Builder>> = builder._when();
  await Promise.all([native, when(builder), builder]);
  const caught: number | RemoteReference<Builder> = await builder.catch(() => other);
  void caught;
  is<Equal<Awaited<ReturnType<ReturnType<typeof send<Builder>>["getName"]>>, string>>();
  const sent: string = await send(builder).getName();
  const local: Results = await send(mine).getResults();
  sendOnly(reference).getName();
  void [sent, local];
  // Untyped references take any call.
  const anything = tub.getReference("ocapn://…");
  const some: number = await anything.foo(1, "x").bar().baz;
  void some;
  using disposable = reference;
  void disposable;
}

export async function wrong(): Promise<void> {
  const builder = status.getBuilder("linux");
  const reference = await builder;
  // @ts-expect-error a misspelt method
  builder.getBuilt(1);
  // @ts-expect-error a wrong argument
  status.getBuilder(1);
  // @ts-expect-error a missing argument
  builder.getBuild();
  // @ts-expect-error a promise for the wrong thing
  status.getBuilder(builder.getBuild(1));
  // @ts-expect-error private methods are not remote
  builder.getBuild(1)._private();
  // @ts-expect-error neither are fields
  builder.getBuild(1).number;
  // @ts-expect-error a result is not there yet
  builder.getBuild(1).getResults().passed;
  // @ts-expect-error plain data has no methods
  builder.getName().toUpperCase();
  // @ts-expect-error a reference is not a promise
  reference.then;
  // @ts-expect-error a name comes by way of a promise
  const name: string = reference.getName();
  // @ts-expect-error a reference is not the object
  const build: Build = await builder.getBuild(1);
  // @ts-expect-error the object has no name to be called without
  builder();
  // @ts-expect-error only objects are registered
  tub.registerReference({ plain: true });
  // @ts-expect-error no such limit
  new Tub({ limits: { maxNonsense: 1 } });
  // @ts-expect-error nothing comes back
  sendOnly(reference).getName().then;
  void [name, build];
}
