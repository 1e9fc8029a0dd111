// In a process of its own: the suite leaves rejections unhandled, by which node:test would fail.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { promisify } from "node:util";

test("then passes the Promises/A+ suite", async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [new URL("aplus.mjs", import.meta.url).pathname]);
  assert.deepEqual(JSON.parse(stdout), { passed: 872, failures: [] });
});
