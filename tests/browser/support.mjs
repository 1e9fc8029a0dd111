// Starts the build-status page on a folder of reports of the test's own.
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../", import.meta.url));

/** A report with the named tests; a value is what that test's failure says, or null if it passed. */
export function report(tests, { timestamp = "2026-01-31T12:00:00Z", seconds = 1.5 } = {}) {
  const escape = (text) => text.replace(/[&<>"]/g, (char) => `&#${char.charCodeAt(0)};`);
  const cases = Object.entries(tests).map(([name, failure]) => {
    const body = failure === null ? "" : `<failure message="${escape(failure)}"/>`;
    return `<testcase classname="suite" name="${escape(name)}" time="0.01">${body}</testcase>`;
  });
  return `<testsuites timestamp="${timestamp}" time="${seconds}"><testsuite name="suite">${cases.join("\n")}</testsuite></testsuites>`;
}

/** A folder of reports, gone when the test is over. */
export class Reports {
  folder = mkdtempSync(join(tmpdir(), "build-status-"));

  constructor(test) {
    test.after(() => rmSync(this.folder, { recursive: true, force: true }));
  }

  /** Puts a file there as a whole, as careful programs do. */
  drop(name, text) {
    writeFileSync(join(this.folder, `.${name}.part`), text);
    renameSync(join(this.folder, `.${name}.part`), join(this.folder, name));
  }
}

/** `make serve`, on a port of its own. */
export class Serve {
  url = "";
  #process;

  static async start(test, reports, { port = 0, server = "python" } = {}) {
    const serve = new Serve();
    const python = join(root, ".venv/bin/python");
    if (!existsSync(python)) throw new Error("there is no .venv: run `make build`");
    const script = join(root, "examples/build_status/serve.py");
    const args = [script, "--reports", reports.folder, "--port", `${port}`, "--server", server];
    serve.#process = spawn(python, args, { stdio: ["ignore", "pipe", "inherit"] });
    test.after(() => serve.stop());
    for await (const line of createInterface({ input: serve.#process.stdout })) {
      serve.url = /http:\S+/.exec(line)?.[0] ?? "";
      if (serve.url) return serve;
    }
    throw new Error("serve.py ended before it was ready; what it says stands above");
  }

  get port() {
    return new URL(this.url).port;
  }

  /** Ends the server and all it started. */
  async stop() {
    const child = this.#process;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGTERM");
    await ended;
  }
}
