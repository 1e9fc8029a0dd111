// Flows from Python into a page: the example's counts, and a page that reads slowly.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";

const { chromium } = createRequire(new URL("../../wasm/package.json", import.meta.url))("playwright-core");
const ROOT = new URL("../../", import.meta.url).pathname;
const PYTHON = join(ROOT, ".venv/bin/python");
const FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const LINES = 3000;

let browser, folder, page;
const programs = [];

/** Starts a program; returns the first line that it prints. */
async function firstLineOf(...command) {
  const program = spawn(PYTHON, command, { stdio: ["ignore", "pipe", "inherit"] });
  programs.push(program);
  for await (const line of createInterface({ input: program.stdout })) return line;
  throw new Error(`${command[0]} said nothing`);
}

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "flows-"));
  const log = join(folder, "dpkg.log");
  const line = (n) => `2025-06-24 14:36:25 ${n % 3 ? "install" : "remove"} package${n}:amd64 <none> 1\n`;
  await writeFile(log, Array.from({ length: LINES }, (_, n) => line(n)).join(""));
  const said = await firstLineOf(join(ROOT, "examples/log_pipeline/pipeline.py"), log,
    "--sqlite", join(folder, "log.sqlite"), "--page");
  const executablePath = process.env.MAROTTE_CHROMIUM ?? "/usr/bin/chromium";
  browser = await chromium.launch({ executablePath, args: FLAGS });
  page = await browser.newPage();
  await page.goto(said.match(/http:\S+/)[0]);
});

after(async () => {
  await browser?.close();
  for (const program of programs) program.kill();
  await rm(folder, { recursive: true });
});

test("the counts of a log are on the page", async () => {
  await page.waitForFunction(() => document.getElementById("state").textContent === "all is read");
  const rows = await page.$$eval("tbody tr", (rows) => rows.map((row) => row.innerText.split("\t").slice(0, 2)));
  assert.deepEqual(rows, [["install", "2,000"], ["remove", "1,000"]]);
  assert.equal(await page.innerText("#line"), "3,000");
});

test("a page that reads slowly holds a fount in Python", async () => {
  const uri = await firstLineOf(join(ROOT, "tests/browser/endless.py"));
  const seen = await page.evaluate(async (uri) => {
    const { Tub, readableOf } = await import("/marotte/index.js");
    const tub = new Tub();
    const endless = await tub.getReference(uri);
    const reader = readableOf(endless.flow()).getReader();
    const items = [];
    const read = async (count) => {
      for (let n = 0; n < count; n++) items.push((await reader.read()).value);
    };
    const rest = () => new Promise((resolve) => setTimeout(resolve, 200));
    await read(10);
    await rest();
    const made = await endless.made();
    await rest();
    const later = await endless.made();
    await read(5000);
    const inOrder = items.every((item, at) => item === at + 1);
    await reader.cancel();
    await rest();
    const atEnd = await endless.made();
    await rest();
    const stopped = (await endless.made()) === atEnd;
    await tub.close();
    return { made, later, inOrder, stopped };
  }, uri);
  assert.ok(seen.made <= 1024 + 80, `${seen.made} were made`);
  assert.deepEqual(seen, { made: seen.made, later: seen.made, inOrder: true, stopped: true });
});
