// `node flows.mjs` serves streams and prints a URI: what the Python side of the tests of flows talks to.
import { Referenceable, Tub, readableOf } from "../../../wasm/dist/node.js";

class Streams extends Referenceable {
  made = 0;
  saved = [];

  endless() {
    return new ReadableStream({
      pull: (controller) => controller.enqueue(++this.made),
    }, { highWaterMark: 0 });
  }

  numbers(count) {
    return ReadableStream.from(Array.from({ length: count }, (_, n) => n));
  }

  failing() {
    return new ReadableStream({
      start(controller) {
        controller.error(new Error("the disk is full"));
      },
    });
  }

  saves() {
    return new WritableStream({
      write: (chunk) => {
        this.saved.push(chunk);
      },
      close: () => {
        this.saved.push("closed");
      },
    });
  }

  count() {
    return this.made;
  }

  kept() {
    return this.saved;
  }

  async all(fount) {
    const items = [];
    for await (const item of readableOf(fount)) items.push(item);
    return items;
  }
}

const tub = new Tub();
await tub.listen();
console.log(tub.registerReference(new Streams(), { name: "streams" }));
