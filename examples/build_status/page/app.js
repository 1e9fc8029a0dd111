// Puts the parts together: what is chosen (in the address), what is connected, what is shown.
import { Board } from "./board.js";
import { showBuilders } from "./builders.js";
import { compare, describeLine } from "./calls.js";
import { count, h, verdict } from "./dom.js";
import { showBuilds, showFailure, showResults, showWaiting } from "./results.js";

/** How long a new build stays marked. */
const FRESH_MS = 4000;

const board = new Board();
const main = document.querySelector("main");
const run = document.querySelector("#run");
let fresh = null;
/** The results on show, so that they are not built anew when another builder changes. */
let shown = "";

/** The address holds the choice: `#/builder` follows the newest build, `#/builder/3` stays at one. */
function route() {
  const [name, number] = location.hash.replace(/^#\/?/, "").split("/").map(decode);
  return { name: name || undefined, number: /^\d+$/.test(number ?? "") ? Number(number) : undefined };
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** What to show: what the address says, else the first builder with failures, else the first. */
function choice() {
  const { name, number } = route();
  if (name !== undefined && (board.builders.has(name) || board.state !== "live")) return { name, number };
  const names = [...board.builders.keys()];
  const failing = names.find((one) => board.builders.get(one).get(board.newest(one)).failed > 0);
  return { name: failing ?? names[0], unknown: name };
}

function render() {
  const { name, number, unknown } = choice();
  showBuilders(board, name, fresh);
  run.disabled = board.state !== "live" || name === undefined;
  const builds = board.builders.get(name);
  if (!builds) return showNothing();
  const actual = number ?? board.newest(name);
  document.title = `${name} #${actual} · Build status`;
  showBuilds(main, name, builds, actual, number === undefined, fresh);
  if (unknown !== undefined) say(`There is no builder ${unknown}; this is ${name}.`);
  void showBuild(name, actual);
}

async function showBuild(name, number) {
  const key = JSON.stringify([name, number]);
  if (shown === key || board.state !== "live") return;
  shown = key;
  showWaiting(main, number);
  try {
    const results = await board.results(name, number);
    // Something else may have been chosen meanwhile.
    if (shown === key) showResults(main, results);
  } catch (error) {
    // That the connection is lost is said elsewhere; what is shown stays.
    if (shown === key && error.name !== "DisconnectedError") showFailure(main, error.message);
  }
}

function showNothing() {
  shown = "";
  if (board.state === "lost") return;
  delete main.dataset.builder;
  const words = board.state === "connecting" ? "Connecting…" : null;
  main.replaceChildren(words ? h("p", { class: "empty" }, words) : h("div", { class: "empty" },
    h("h2", {}, "No reports yet"),
    h("p", {}, "The folder of reports is empty. Drop a JUnit XML file into it, such as ", h("code", {}, "rust.xml"),
      ", and it appears here.")));
}

function showState() {
  const connection = document.querySelector("#connection");
  const trouble = document.querySelector("#trouble");
  const words = { connecting: "Connecting…", live: "Live", lost: "Not connected" };
  connection.textContent = words[board.state];
  connection.className = board.state;
  trouble.hidden = board.state !== "lost";
  if (board.state === "lost") {
    trouble.replaceChildren(
      h("p", {}, h("strong", {}, "The connection to the server is lost."), ` ${board.why} What is shown may be out of date.`),
      h("button", { type: "button", onclick: () => board.connect() }, "Reconnect"));
  }
  if (board.state === "live") {
    // Another server may have other results under the same number.
    shown = "";
    describeLine(board.config);
  }
  render();
}

/** Says something to those who do not see it. */
function say(text) {
  const news = document.querySelector("#news");
  if (news.textContent !== text) news.textContent = text;
}

board.addEventListener("state", showState);
// Many builds may come at once, at the start for one: shown together.
let willRender = false;
board.addEventListener("change", () => {
  if (willRender) return;
  willRender = true;
  requestAnimationFrame(() => {
    willRender = false;
    if (board.state === "live") render();
  });
});
board.addEventListener("added", ({ detail }) => {
  fresh = detail;
  say(`${detail.name}: build ${detail.number} arrived, ${verdict(detail).words} (${count(detail.passed, "test")} passed)`);
  setTimeout(() => {
    if (fresh === detail) fresh = null;
  }, FRESH_MS);
});
addEventListener("hashchange", render);
document.querySelector("[data-skip]").addEventListener("click", (event) => {
  // The address is the choice; it must not change.
  event.preventDefault();
  main.focus();
});
run.addEventListener("click", async () => {
  const { name, number } = choice();
  run.disabled = true;
  run.textContent = "Comparing…";
  await compare(board.config, { builder: name, build: number ?? -1 });
  run.textContent = "Compare again";
  run.disabled = board.state !== "live";
});

await board.connect();
