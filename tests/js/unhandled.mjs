// Prints what is reported of failures, some of which are looked at and some not.
import { Referenceable, Tub, sendOnly } from "../../wasm/dist/node.js";
import { failure, sleep, until } from "./support.mjs";

class Failing extends Referenceable {
  fail() {
    throw new RangeError("none");
  }
  echo(value) {
    return value;
  }
}

const seen = [];
console.error = (_, error) => seen.push(error.message);
process.on("unhandledRejection", (error) => seen.push(`unhandled: ${error.message}`));

const server = new Tub();
await server.listen();
const client = new Tub();
const remote = client.getReference(server.registerReference(new Failing()));
await remote;

remote.fail();
await until(() => seen.length > 0);

// Looked at: by await, by a call on it, by passing it on, by _except; or not wanted at all.
await failure(remote.fail());
await failure(remote.fail().fail());
await failure(remote.echo(remote.fail()));
remote.fail()._except(() => {});
remote.fail()._when().catch(() => {});
sendOnly(await remote).fail();
const late = remote.fail();
const next = late._then(() => seen.push("never"));
await Promise.resolve();
next._except(() => {});
await sleep(50);

remote.echo(1)._then(() => {
  throw new Error("in a callback");
});
await until(() => seen.length > 1);
remote.echo(1)._then(async () => {
  throw new Error("in an async callback");
});
await until(() => seen.length > 2);

// Those that end because the tub is closed are no surprise.
remote.echo(2);
client.close();
await server.close();
await sleep(50);
console.log(JSON.stringify(seen));
