// The web page as the demo's fourth client: opens it in headless Chromium, presses its button, and prints what it
// measured, a line of JSON for each way. usage: browser.mjs PAGE-URL BUILDER
import { launch } from "./chromium.mjs";

const [url, builder] = process.argv.slice(2);
const browser = await launch();
try {
  const page = await browser.newPage();
  page.on("pageerror", (error) => console.error(`the page: ${error.message}`));
  await page.goto(new URL(`#/${encodeURIComponent(builder)}`, url).href);
  const button = page.getByRole("button", { name: "Compare" });
  await page.locator("#connection.live").waitFor({ timeout: 20_000 });
  const measured = () => new Promise((resolve) => {
    document.addEventListener("measured", ({ detail }) => resolve(detail), { once: true });
  });
  const [detail] = await Promise.all([page.evaluate(measured), button.click()]);
  if (detail.error) throw new Error(detail.error);
  for (const [way, mode] of [["oneAtATime", "one-at-a-time"], ["pipelined", "pipelined"]]) {
    const { ms, roundTrips, name, number, passed, failed, skipped, digest } = detail[way];
    const answer = { client: "browser", mode, round_trips: roundTrips, ms: Math.round(ms * 1e3) / 1e3 };
    console.log(JSON.stringify({ ...answer, builder: name, number, passed, failed, skipped, digest }));
  }
} catch (error) {
  console.error(`error: ${error.message}`);
  process.exitCode = 1;
} finally {
  await browser.close();
}
