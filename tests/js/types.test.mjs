// Types: right use compiles and misuse does not (see types/remote.ts).
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

test("calls are typed, from the reference to the end of a chain", () => {
  const tsc = fileURLToPath(new URL("../../wasm/node_modules/.bin/tsc", import.meta.url));
  const project = fileURLToPath(new URL("types", import.meta.url));
  const { status, stdout } = spawnSync(tsc, ["-p", project], { encoding: "utf8" });
  assert.equal(status, 0, stdout);
});
