// The list of builders, each with its last builds as small bars.
import { count, h, refill, time, verdict } from "./dom.js";

/** Builds shown as bars. */
const BARS = 16;

export function path(name, number) {
  return `#/${encodeURIComponent(name)}${number === undefined ? "" : `/${number}`}`;
}

export function showBuilders(board, chosen, fresh) {
  const list = document.querySelector("#builders ul.builders");
  const rows = [...board.builders].map(([name, builds]) => builderRow(name, [...builds.values()], name === chosen, fresh));
  if (rows.length > 0) refill(list, rows);
  else refill(list, h("li", { class: "empty" }, board.state === "connecting" ? "Connecting…" : "No builders yet"));
  showProblems(board.problems);
}

function builderRow(name, builds, isChosen, fresh) {
  const latest = builds.at(-1);
  const { kind, mark, words } = verdict(latest);
  return h("li", {},
    h("a", { href: path(name), class: `builder ${fresh?.name === name ? "fresh" : ""}`, "aria-current": isChosen && "page" },
      h("span", { class: `mark ${kind}`, "aria-hidden": "true" }, mark),
      h("span", { class: "name" }, name),
      h("span", { class: "detail" }, `#${latest.number} · ${words} · `, time(latest.finished)),
      bars(builds)));
}

/** As high as the build had tests, red where some failed. */
function bars(builds) {
  const shown = builds.slice(-BARS);
  const total = ({ passed, failed, skipped }) => passed + failed + skipped;
  const most = Math.max(1, ...shown.map(total));
  return h("span", { class: "bars", "aria-hidden": "true" },
    shown.map((build) => h("i", { class: verdict(build).kind, style: `height: ${20 + (80 * total(build)) / most}%` })));
}

function showProblems(problems) {
  const details = document.querySelector("#problems");
  details.hidden = problems.length === 0;
  details.querySelector("summary").textContent = `${count(problems.length, "report")} left out`;
  refill(details.querySelector("ul"),
    problems.map(({ file, reason }) => h("li", {}, h("strong", {}, file), h("span", {}, reason))));
}
