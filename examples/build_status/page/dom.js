// Building the page's elements, and saying numbers and times in words.

/** An element: `h("a", { href: "#", class: "x" }, "text", child)`. What is null or false is left out. */
export function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") element.style.cssText = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  // Text is always text: reports may hold anything.
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Replaces what an element holds; a link in it that had the focus keeps it. */
export function refill(container, ...children) {
  const focused = container.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  container.replaceChildren(...children.flat().filter(Boolean));
  if (focused === null) return;
  for (const link of container.querySelectorAll("a")) {
    if (link.getAttribute("href") === focused) link.focus({ preventScroll: true });
  }
}

/** A long name that may be broken where its parts meet. */
export function breakable(name) {
  return name.split(/(?<=_|::|[./])(?=\w)/).flatMap((part, index) => (index === 0 ? [part] : [h("wbr"), part]));
}

const number = new Intl.NumberFormat("en");

/** `1 test`, `2,000 tests`. */
export function count(n, noun) {
  return `${number.format(n)} ${noun}${n === 1 ? "" : "s"}`;
}

/** How long: `3 ms`, `2.75 s`, `4 min 05 s`. */
export function duration(seconds) {
  if (seconds < 0.0005) return "0 ms";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${seconds.toFixed(2)} s`;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")} s`;
}

const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const absolute = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });
const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60]];

function ago(date) {
  const seconds = (date.getTime() - Date.now()) / 1000;
  // A month ago or more: the date says more.
  if (Math.abs(seconds) > 30 * 86400) return absolute.format(date);
  for (const [unit, size] of UNITS) {
    if (Math.abs(seconds) >= size) return relative.format(Math.round(seconds / size), unit);
  }
  return "just now";
}

/** A `<time>` that says how long ago that was, and goes on saying so. */
export function time(iso) {
  const date = new Date(iso);
  if (Number.isNaN(date.getTime())) return h("span", {}, iso);
  return h("time", { datetime: iso, title: absolute.format(date) }, ago(date));
}

setInterval(() => {
  for (const element of document.querySelectorAll("time[datetime]")) {
    const text = ago(new Date(element.dateTime));
    if (element.textContent !== text) element.textContent = text;
  }
}, 15_000);

/** How a build went, in words and as a class: never by colour alone. */
export function verdict({ passed, failed, skipped }) {
  if (failed > 0) return { kind: "bad", mark: "✕", words: `${number.format(failed)} failed` };
  if (passed > 0) return { kind: "good", mark: "✓", words: "passed" };
  return { kind: "none", mark: "–", words: skipped > 0 ? "all skipped" : "no tests" };
}
