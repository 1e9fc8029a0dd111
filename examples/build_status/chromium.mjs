// Starts headless Chromium, for the demo and for the page's tests.
import { execFileSync } from "node:child_process";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const root = new URL("../../", import.meta.url);
const FLAGS = [
  // Chromium cannot build its sandbox in most containers; these pages are our own.
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** A browser; close it in the end. */
export async function launch() {
  let playwright;
  try {
    // It is installed for the npm package, which is not above this file.
    playwright = createRequire(new URL("wasm/package.json", root))("playwright-core");
  } catch {
    throw new Error("playwright-core is not installed: run `make build`");
  }
  // It may have to be fetched: what the tool says of that is seen at once.
  const find = () => execFileSync(fileURLToPath(new URL("tools/browser", root)), {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
  });
  const executablePath = process.env.MAROTTE_CHROMIUM || find().trim();
  return playwright.chromium.launch({ executablePath, args: FLAGS });
}
