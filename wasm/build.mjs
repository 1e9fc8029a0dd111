// Build the npm package into dist: Rust to WebAssembly, wasm-bindgen, wasm-opt, then TypeScript.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";

const here = import.meta.dirname;
const root = join(here, "..");
const dist = join(here, "dist");
const wasm = join(dist, "marotte_wasm_bg.wasm");
const bin = (name) => join(here, "node_modules/.bin", name);

const say = (text) => console.error(`==> ${text}`);
const kB = (bytes) => `${(bytes / 1000).toFixed(1)} kB`;
// What the command prints to stderr, its progress and its errors, is seen; its stdout is the answer.
function run(command, args, options = {}) {
  try {
    return execFileSync(command, args, { cwd: root, stdio: ["ignore", "pipe", "inherit"], maxBuffer: 2 ** 28, encoding: "utf8", ...options });
  } catch (error) {
    console.error(`error: ${options.what ?? command} failed (${error.code ?? error.signal ?? `exit ${error.status}`})`);
    process.exit(1);
  }
}

function compileRust() {
  say("compiling the Rust for the browser (about 1 minute from nothing)");
  // Paths of this machine would end up in panic messages, and so in the published module.
  const cargoHome = process.env.CARGO_HOME ?? join(homedir(), ".cargo");
  const remaps = Object.entries({ [join(cargoHome, "registry/src")]: "/crates", [root]: "/marotte" })
    .filter(([from]) => !from.includes(" "))
    .map(([from, to]) => `--remap-path-prefix=${from}=${to}`);
  const build =
    'exports=$(tools/wasm32-env) && eval "$exports" && exec cargo build --profile wasm' +
    " --target wasm32-unknown-unknown -p marotte-wasm --message-format json-render-diagnostics";
  const messages = run("bash", ["-c", build], {
    what: "compiling the Rust",
    env: { ...process.env, CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS: remaps.join(" ") },
  });
  // Cargo itself says where the module is, whatever target directory is in force.
  return messages.split("\n").filter((line) => line.startsWith("{")).map((line) => JSON.parse(line))
    .flatMap((message) => message.filenames ?? [])
    .findLast((name) => name.endsWith("/marotte_wasm.wasm"));
}

function bind(input) {
  const bindgen = run(join(root, "tools/wasm-bindgen"), []).trim();
  say("generating the bindings and shrinking the module (a few seconds)");
  run(bindgen, [input, "--target", "web", "--out-dir", dist, "--out-name", "marotte_wasm",
    "--remove-name-section", "--remove-producers-section"]);
  const small = join(dist, "small.wasm");
  run(bin("wasm-opt"), ["-Os", wasm, "-o", small]);
  if (statSync(small).size < statSync(wasm).size) copyFileSync(small, wasm);
  rmSync(small);
}

function compileTypeScript() {
  // What an earlier build compiled from a file that is gone must not stay in the package.
  for (const name of readdirSync(dist, { recursive: true })) {
    if (/\.(js|d\.ts)(\.map)?$/.test(name) && !name.startsWith("marotte_wasm")) rmSync(join(dist, name));
  }
  const sources = existsSync(join(here, "js")) ? readdirSync(join(here, "js"), { recursive: true }) : [];
  if (!sources.some((name) => name.endsWith(".ts"))) {
    say("no TypeScript in wasm/js: nothing to compile");
    return;
  }
  say("checking and compiling the TypeScript (a few seconds)");
  run(bin("tsc"), ["-p", here], { what: "the TypeScript compiler", stdio: ["ignore", "inherit", "inherit"] });
}

function exportedFiles(entry) {
  return typeof entry === "string" ? [entry] : Object.values(entry).flatMap(exportedFiles);
}

function checkExports() {
  const { exports } = JSON.parse(readFileSync(join(here, "package.json"), "utf8"));
  const missing = exportedFiles(exports).filter((name) => !existsSync(join(here, name)));
  if (missing.length > 0) say(`package.json exports what the build does not make: ${missing.join(", ")}`);
}

mkdirSync(dist, { recursive: true });
const input = compileRust();
// The same module gives the same bindings: when only the TypeScript changed, they stay.
const stamp = join(root, "target/stamps/wasm-module");
const print = createHash("sha256").update(readFileSync(input)).update(readFileSync(join(root, "Cargo.lock")))
  .update(readFileSync(join(here, "package-lock.json"))).update(readFileSync(import.meta.filename)).digest("hex");
if (!existsSync(wasm) || !existsSync(stamp) || readFileSync(stamp, "utf8") !== print) {
  bind(input);
  mkdirSync(dirname(stamp), { recursive: true });
  writeFileSync(stamp, print);
}
compileTypeScript();
checkExports();
for (const licence of ["LICENSE-MIT", "LICENSE-APACHE"]) copyFileSync(join(root, licence), join(dist, licence));

const scripts = readdirSync(dist).filter((name) => name.endsWith(".js") && name !== "node.js");
for (const [what, names] of [["WebAssembly", ["marotte_wasm_bg.wasm"]], ["JavaScript, not minified", scripts]]) {
  const bytes = Buffer.concat(names.map((name) => readFileSync(join(dist, name))));
  console.error(`    ${what.padEnd(25)} ${kB(bytes.length).padStart(9)}, gzip ${kB(gzipSync(bytes, { level: 9 }).length)}`);
}
