// The three dependent calls in Node, one at a time or pipelined, measured. Prints one line of JSON.
import { existsSync } from "node:fs";
import { parseArgs } from "node:util";

import { digest, measure } from "./page/measure.js";

const USAGE = "usage: client.mjs URI [--pipelined | --one-at-a-time] [--builder NAME] [--build NUMBER]";

function fail(text, code = 1) {
  console.error(`error: ${text}`);
  process.exit(code);
}

function parse() {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        pipelined: { type: "boolean" },
        "one-at-a-time": { type: "boolean" },
        builder: { type: "string" },
        build: { type: "string", default: "-1" },
        help: { type: "boolean", short: "h" },
      },
    });
    if (values.help) {
      console.log(USAGE);
      process.exit();
    }
    const build = Number(values.build);
    if (positionals.length !== 1 || !Number.isInteger(build)) throw new Error("give one URI, and a whole --build");
    if (values.pipelined && values["one-at-a-time"]) throw new Error("either --pipelined or --one-at-a-time");
    return { uri: positionals[0], pipelined: !values["one-at-a-time"], builder: values.builder, build };
  } catch (error) {
    fail(`${error.message}\n${USAGE}`, 2);
  }
}

const { uri, ...question } = parse();
const library = new URL("../../wasm/dist/node.js", import.meta.url);
if (!existsSync(library)) fail("the npm package is not built: run `make build`");
const { Tub } = await import(library);

const tub = new Tub();
try {
  const status = await tub.getReference(uri);
  if (question.builder === undefined) {
    const [first] = await status.getBuilders();
    if (!first) throw new Error("there are no builders yet: the folder of reports is empty");
    question.builder = first.name;
  }
  const { results, ms, roundTrips } = await measure(tub, status, question);
  console.log(JSON.stringify({
    client: "node",
    mode: question.pipelined ? "pipelined" : "one-at-a-time",
    round_trips: roundTrips,
    ms: Math.round(ms * 1e3) / 1e3,
    builder: results.name,
    number: results.number,
    passed: results.passed,
    failed: results.failed,
    skipped: results.skipped,
    digest: await digest(results),
  }));
} catch (error) {
  // Not process.exit: the connection is closed first.
  console.error(`error: ${error.message}`);
  process.exitCode = 1;
}
await tub.close();
