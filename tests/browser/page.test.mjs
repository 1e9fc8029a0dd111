// The build-status page in headless Chromium, against real servers.
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import { launch } from "../../examples/build_status/chromium.mjs";
import { Reports, Serve, report } from "./support.mjs";

const output = fileURLToPath(new URL("../output/", import.meta.url));
const recorded = fileURLToPath(new URL("../../examples/build_status/reports/", import.meta.url));
let browser;

before(async () => {
  browser = await launch();
});
after(() => browser?.close());

/** A page that is open and connected. What goes wrong in it fails the test. */
async function open(t, serve, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  t.after(() => context.close());
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  const errors = [];
  page.on("pageerror", (error) => errors.push(error.message));
  t.after(() => assert.deepEqual(errors, []));
  await page.goto(serve.url);
  await page.locator("#connection", { hasText: "Live" }).waitFor();
  return page;
}

const builder = (page, name) => page.getByRole("navigation", { name: "Builders" }).getByRole("link", { name });
const testNames = (page) => page.locator(".tests .test-name").allInnerTexts();

async function begin(t, files, options) {
  const reports = new Reports(t);
  for (const [name, text] of Object.entries(files)) reports.drop(name, text);
  const serve = await Serve.start(t, reports, options);
  return { reports, serve, page: await open(t, serve) };
}

for (const server of ["python", "rust"]) {
  test(`builders, their builds, and the results of the one chosen (${server} server)`, async (t) => {
    const { page } = await begin(t, {
      "python.xml": report({ one: null, two: null }),
      "rust-0001.xml": report({ old: null }, { timestamp: "2026-01-01T00:00:00Z" }),
      "rust-0002.xml": report({ fine: null, broken: "left: 1\nright: 2" }, { timestamp: "2026-01-02T00:00:00Z" }),
    }, { server });
    await builder(page, "python").waitFor();
    assert.match(await builder(page, "rust").innerText(), /#2 · 1 failed/);
    // What failed is shown first, without being asked.
    await page.getByRole("heading", { name: "Build #2 1 failed" }).waitFor();
    assert.deepEqual(await testNames(page), ["suite broken", "suite fine"]);
    assert.match(await page.locator(".tests pre").innerText(), /left: 1\s+right: 2/);

    await page.getByRole("list", { name: "Builds of rust" }).getByRole("link", { name: "#1" }).click();
    await page.getByRole("heading", { name: "Build #1 passed" }).waitFor();
    assert.deepEqual(await testNames(page), ["suite old"]);

    await builder(page, "python").click();
    await page.getByText("2 tests in 1.50 s").waitFor();
    await page.goBack();
    await page.getByRole("heading", { name: "Build #1 passed" }).waitFor();
  });

  test(`a report that is dropped into the folder appears by itself (${server} server)`, async (t) => {
    const { page, reports } = await begin(t, { "rust.xml": report({ one: null }) }, { server });
    await page.getByRole("heading", { name: "Build #1 passed" }).waitFor();
    reports.drop("rust.xml", report({ one: null, two: "no longer" }));
    await page.getByRole("heading", { name: "Build #2 1 failed" }).waitFor();
    assert.equal(await page.locator(".chip.fresh").count(), 1, "what is new is marked");
    assert.match(await page.locator("#news").innerText(), /rust: build 2 arrived, 1 failed/);
    // Another builder's build does not take the reader away.
    reports.drop("python.xml", report({ one: null }));
    await builder(page, "python").waitFor();
    assert.equal(await page.getByRole("heading", { level: 2, name: "rust" }).count(), 1);
  });

  test(`a report that cannot be read is named, and nothing else suffers (${server} server)`, async (t) => {
    const { page, reports } = await begin(t, { "rust.xml": report({ one: null }) }, { server });
    const whole = report({ one: null, two: null });
    // Written slowly: not complained about.
    writeFileSync(join(reports.folder, "slow.xml"), whole.slice(0, 50));
    reports.drop("bad.xml", "<testsuites><oops></testsuites>");
    await page.waitForTimeout(700);
    writeFileSync(join(reports.folder, "slow.xml"), whole);
    await builder(page, "slow").waitFor();
    await page.getByText("1 report left out").click();
    assert.match(await page.locator("#problems li").innerText(), /bad\.xml/);
    reports.drop("bad.xml", whole);
    await builder(page, "bad").waitFor();
    await page.locator("#problems").waitFor({ state: "hidden" });
  });
}

test("a lost connection is said in words, and Reconnect makes a new one", async (t) => {
  const { page, reports, serve } = await begin(t, { "rust.xml": report({ one: null }) });
  await serve.stop();
  const alert = page.getByRole("alert");
  await alert.getByText("The connection to the server is lost.").waitFor();
  assert.match(await alert.innerText(), /closed|lost|disconnect/i);
  assert.equal(await page.locator("#connection").innerText(), "Not connected");
  assert.ok(await page.getByText("1 test in").isVisible(), "what was known stays in sight");

  await page.getByRole("button", { name: "Reconnect" }).click();
  await alert.getByText("web server does not answer").waitFor();

  reports.drop("rust.xml", report({ one: null, two: null }));
  await Serve.start(t, reports, { port: serve.port });
  await page.getByRole("button", { name: "Reconnect" }).click();
  await page.locator("#connection", { hasText: "Live" }).waitFor();
  await page.getByText("2 tests in").waitFor();
  assert.ok(await alert.isHidden());
});

test("an empty folder says what to do, and fills", async (t) => {
  const { page, reports } = await begin(t, {});
  await page.getByRole("heading", { name: "No reports yet" }).waitFor();
  assert.ok(await page.getByRole("button", { name: "Compare" }).isDisabled());
  reports.drop("first.xml", report({ one: null }));
  await page.getByRole("heading", { name: "Build #1 passed" }).waitFor();
});

test("10,000 tests are shown a part at a time, and can be filtered", async (t) => {
  const tests = Object.fromEntries(Array.from({ length: 10_000 }, (_, n) => [`number ${n}`, n === 7777 ? "found me" : null]));
  const { page } = await begin(t, { "big.xml": report(tests) });
  await page.getByText("9,800 tests more").waitFor();
  assert.equal((await testNames(page))[0], "suite number 7777", "failures come first");
  await page.getByRole("button", { name: "Show 200" }).click();
  assert.equal((await testNames(page)).length, 400);
  await page.getByRole("searchbox").fill("number 999");
  assert.equal((await testNames(page)).length, 11);
  await page.getByRole("searchbox").fill("");
  await page.getByText("Failed 1").click();
  assert.deepEqual(await testNames(page), ["suite number 7777"]);
});

test("odd characters are shown as they are", async (t) => {
  const odd = `<img src=x onerror="throw 1"> & 'é' 😀 \u202e`;
  const { page } = await begin(t, { "a b & ü #%2F.xml": report({ [odd]: odd }) });
  await builder(page, "a b & ü #%2F").click();
  await page.getByRole("heading", { name: "a b & ü #%2F" }).waitFor();
  assert.equal(await page.locator(".tests pre").textContent(), odd.trim());
  assert.equal(await page.locator("main img").count(), 0);
});

test("the three calls take three round trips, or one", async (t) => {
  const { page } = await begin(t, { "rust.xml": report({ one: null }) });
  await page.getByRole("button", { name: "Compare" }).click();
  const way = (name) => page.locator(`#comparison .${name} .figures`);
  await way("pipelined").waitFor();
  assert.match(await way("oneAtATime").innerText(), /ms · 3 round trips$/);
  assert.match(await way("pipelined").innerText(), /ms · 1 round trip$/);
});

test("all of it can be reached with the keyboard", async (t) => {
  const { page } = await begin(t, { "a.xml": report({ one: null }), "b.xml": report({ two: null }) });
  await page.getByRole("heading", { level: 2, name: "a", exact: true }).waitFor();
  const focused = () => page.evaluate(() => document.activeElement.textContent.trim());
  await page.keyboard.press("Tab");
  assert.equal(await focused(), "Skip to the results");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Tab");
  assert.match(await focused(), /b/);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { level: 2, name: "b", exact: true }).waitFor();
  assert.match(await focused(), /b/, "the focus stays where it was");
});

test("it fits a phone and a desktop, light and dark; the picture is kept", async (t) => {
  const serve = await Serve.start(t, { folder: recorded });
  mkdirSync(output, { recursive: true });
  for (const [name, options] of Object.entries({
    page: {},
    "page-dark": { colorScheme: "dark" },
    "page-phone": { viewport: { width: 360, height: 780 } },
  })) {
    const page = await open(t, serve, options);
    await page.getByRole("button", { name: "Compare" }).click();
    await page.getByRole("button", { name: "Compare again" }).waitFor();
    await page.evaluate(() => scrollTo(0, 0));
    await page.locator(".tests li").first().waitFor();
    const [wide, window] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert.ok(wide <= window, `${name} is ${wide} pixels wide in a window of ${window}`);
    await page.screenshot({ path: join(output, `${name}.png`) });
  }
});
