// One build: the builder's builds to choose from, and the chosen one's tests.
import { path } from "./builders.js";
import { breakable, count, duration, h, refill, time, verdict } from "./dom.js";

/** Tests shown at first and by each press of the button: 10,000 rows are slow to lay out, and long to scroll past. */
const PAGE = matchMedia("(max-width: 40rem)").matches ? 40 : 200;
const MARKS = { passed: ["good", "✓"], failed: ["bad", "✕"], skipped: ["none", "–"] };
const RANK = { failed: 0, skipped: 1, passed: 2 };
const ORDERS = {
  outcome: ["failures first", (a, b) => RANK[a.outcome] - RANK[b.outcome]],
  slow: ["slowest first", (a, b) => b.seconds - a.seconds],
  report: ["as reported", () => 0],
};

/** What the reader set stays when a new build arrives. */
const view = { outcome: "all", text: "", order: "outcome" };

/** The head of the page's middle: the builder's name and its builds. The rest is left to `showResults`. */
export function showBuilds(main, name, builds, number, isFollowing, fresh) {
  let strip = main.querySelector(".builds");
  if (!strip || main.dataset.builder !== name) {
    main.dataset.builder = name;
    strip = h("ol", { class: "builds", "aria-label": `Builds of ${name}, newest first` });
    main.replaceChildren(h("h2", {}, name), strip, h("section", { class: "build", "aria-label": "Results" }));
  }
  refill(strip, [...builds.values()].reverse().map((build) => {
    const { kind, mark, words } = verdict(build);
    const isFresh = fresh?.name === name && fresh.number === build.number;
    return h("li", {},
      h("a", {
        href: path(name, build.number),
        class: `chip ${kind} ${isFresh ? "fresh" : ""}`,
        "aria-current": build.number === number && "page",
      }, h("span", { "aria-hidden": "true" }, mark), ` #${build.number} `, h("small", {}, words)));
  }));
  // The newest is followed: it stays in sight.
  if (isFollowing) strip.scrollLeft = 0;
}

export function showWaiting(main, number) {
  const section = main.querySelector(".build");
  section.setAttribute("aria-busy", "true");
  if (!section.hasChildNodes()) section.append(h("p", { class: "empty" }, `Fetching build ${number}…`));
}

export function showFailure(main, message) {
  const section = main.querySelector(".build");
  section.removeAttribute("aria-busy");
  section.replaceChildren(h("p", { class: "notice bad" }, message));
}

export function showResults(main, results) {
  const section = main.querySelector(".build");
  section.removeAttribute("aria-busy");
  const list = h("ul", { class: "tests" });
  const more = h("p", { class: "more" });
  const refresh = () => fillTests(list, more, select(results.tests));
  section.replaceChildren(head(results), controls(results, refresh), list, more);
  refresh();
}

function head(results) {
  const { kind, words } = verdict(results);
  const all = results.tests.length;
  const part = (outcome) => {
    const share = all === 0 ? 0 : (100 * results[outcome]) / all;
    return h("i", { class: MARKS[outcome][0], style: `width: ${share}%` });
  };
  return h("div", { class: "head" },
    h("h3", {}, `Build #${results.number} `, h("span", { class: `pill ${kind}` }, words)),
    h("p", { class: "facts" },
      `${count(all, "test")} in ${duration(results.seconds)}, finished `, time(results.finished)),
    h("div", { class: "shares", "aria-hidden": "true" }, part("failed"), part("skipped"), part("passed")));
}

function controls(results, refresh) {
  const choices = { all: results.tests.length, failed: results.failed, skipped: results.skipped, passed: results.passed };
  if (choices[view.outcome] === 0) view.outcome = "all";
  const radios = Object.entries(choices).map(([outcome, n]) =>
    h("label", {},
      h("input", {
        type: "radio", name: "outcome", value: outcome, checked: view.outcome === outcome, disabled: n === 0 && outcome !== "all",
        onchange: () => { view.outcome = outcome; refresh(); },
      }),
      h("span", {}, `${outcome[0].toUpperCase()}${outcome.slice(1)} `, h("b", {}, n.toLocaleString("en")))));
  const search = h("input", {
    type: "search", placeholder: "Filter by name", "aria-label": "Filter tests by name", value: view.text,
    oninput: (event) => { view.text = event.target.value; refresh(); },
  });
  const order = h("select", { "aria-label": "Order", onchange: (event) => { view.order = event.target.value; refresh(); } },
    Object.entries(ORDERS).map(([value, [label]]) => h("option", { value, selected: view.order === value }, label)));
  return h("form", { class: "controls", onsubmit: (event) => event.preventDefault() },
    h("fieldset", { class: "choice" }, h("legend", { class: "visually-hidden" }, "Show"), radios), search, order);
}

function select(tests) {
  const wanted = view.text.trim().toLowerCase();
  const chosen = tests.filter((test) =>
    (view.outcome === "all" || test.outcome === view.outcome) &&
    (wanted === "" || `${test.classname} ${test.name}`.toLowerCase().includes(wanted)));
  return chosen.sort(ORDERS[view.order][1]);
}

/** Shows the first tests, and a button for more. */
function fillTests(list, more, tests) {
  list.replaceChildren();
  const showMore = () => {
    const shown = list.children.length;
    list.append(...tests.slice(shown, shown + PAGE).map(testRow));
    const rest = tests.length - list.children.length;
    const button = rest > 0 && h("button", { type: "button", onclick: press }, `Show ${Math.min(rest, PAGE)}`);
    if (button) more.replaceChildren(`${count(rest, "test")} more `, button);
    else more.replaceChildren(tests.length === 0 ? "No test is like that." : "");
  };
  const press = () => {
    const next = list.children.length;
    showMore();
    // The button is another one now, or gone: go on where the new rows begin.
    list.children[next].tabIndex = -1;
    list.children[next].focus({ preventScroll: true });
  };
  showMore();
}

function testRow(test) {
  const [kind, mark] = MARKS[test.outcome] ?? MARKS.skipped;
  const line = [
    h("span", { class: `mark ${kind}`, title: test.outcome }, h("span", { "aria-hidden": "true" }, mark),
      h("span", { class: "visually-hidden" }, test.outcome)),
    h("span", { class: "test-name" }, h("span", { class: "class" }, breakable(test.classname)), " ", breakable(test.name)),
    h("span", { class: "seconds" }, duration(test.seconds)),
  ];
  if (test.message === "") return h("li", {}, h("div", { class: "test" }, line));
  // What failed is open; what was skipped can be asked.
  return h("li", {}, h("details", { open: test.outcome === "failed" },
    h("summary", { class: "test" }, line), h("pre", { tabindex: "0" }, test.message)));
}
