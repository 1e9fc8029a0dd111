// Runs the Promises/A+ suite against the promises of makePromise, and prints how many tests passed and which failed.
import { createRequire } from "node:module";
import { makePromise } from "../../wasm/dist/node.js";

const suite = createRequire(new URL("../../wasm/package.json", import.meta.url))("promises-aplus-tests");

// Many of the suite's promises are rejected and left alone.
console.error = () => {};
process.on("unhandledRejection", () => {});

const adapter = {
  deferred() {
    const [promise, resolve] = makePromise();
    return { promise, resolve, reject: resolve.smash };
  },
};
const failures = [];
let passed = 0;
function reporter(runner) {
  runner.on("pass", () => passed++);
  runner.on("fail", (test, error) => failures.push(`${test.fullTitle()}: ${error.message}`));
}
suite(adapter, { reporter }, () => {
  console.log(JSON.stringify({ passed, failures }));
  process.exit(0);
});
