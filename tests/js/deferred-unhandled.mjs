// Prints what is reported of failures of Deferreds, some of which are handled and some not.
import { Deferred, fail, gatherResults, succeed } from "../../wasm/dist/node.js";
import { failure, sleep } from "./support.mjs";

const seen = [];
// The default, first.
fail(new Error("on the console"));
await sleep(5);
Deferred.onUnhandledError = (error) => seen.push(error.message);
process.on("unhandledRejection", (error) => seen.push(`unhandled: ${error.message}`));

/** What happens in a task and the next two. */
async function task(f) {
  f();
  await sleep(5);
}
const boom = (message) => () => {
  throw new Error(message);
};

// Handled in the same task, by whatever means.
await task(() => {
  fail(new Error("a")).addErrback(() => 1);
  const d = fail(new Error("b"));
  queueMicrotask(() => d.addErrback(() => 1));
  void failure(fail(new Error("c")));
  succeed(1).addCallback(() => fail(new Error("d"))).addErrback(() => 1);
  gatherResults([fail(new Error("e"))], { consumeErrors: true }).addErrback(() => 1);
  const passed = fail(new Error("f"));
  passed.addErrback((error) => error).addErrback(() => 1);
});

await task(() => fail(new Error("fails")));
await task(() => succeed(1).addCallback(boom("thrown")));
// Not again when it is looked at later, or goes on.
const late = fail(new Error("by an outer"));
await sleep(5);
await task(() => late.addCallback(() => 1));
await task(() => void succeed(1).addCallback(() => late));

// An await sees it, but not what comes after.
const awaited = fail(new Error("seen"));
await failure(awaited);
await task(() => awaited.addCallback(() => 1));
await task(() => awaited.addErrback(boom("after an await")));
await task(() => awaited.addErrback(boom("rethrown as another")));

await task(() => {
  const list = gatherResults([new Deferred(boom("a canceller's"))]);
  list.addErrback(() => 1);
  list.cancel();
});
await task(() => new Deferred().addErrback((error) => { throw new Error("cancelled", { cause: error }); }).cancel());

const { error } = console;
console.error = (_, error) => seen.push(error.message);
Deferred.onUnhandledError = boom("the hook's");
await task(() => fail(new Error("lost")));
console.error = error;
console.log(JSON.stringify(seen));
