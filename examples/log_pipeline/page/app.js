// Shows the counts as they come. A page in the background, which is not drawn, does not hold the pipeline up: it misses
// counts, and gets the newest when it looks again.
import { Tub, readableOf } from "/marotte/index.js";

const element = (id) => document.getElementById(id);

function show({ line, counts }) {
  element("line").value = line.toLocaleString("en");
  const most = Math.max(...Object.values(counts));
  const rows = Object.entries(counts).sort((one, other) => other[1] - one[1]);
  element("counts").replaceChildren(...rows.map(([kind, count]) => {
    const row = document.createElement("tr");
    const name = document.createElement("th");
    name.scope = "row";
    name.textContent = kind;
    const number = document.createElement("td");
    number.textContent = count.toLocaleString("en");
    const bar = document.createElement("meter");
    Object.assign(bar, { max: most, value: count });
    const cell = document.createElement("td");
    cell.append(bar);
    row.append(name, number, cell);
    return row;
  }));
}

try {
  const { counts } = await (await fetch("config.json")).json();
  const flow = readableOf(new Tub().getReference(counts).flow(), { items: 1 });
  element("state").textContent = "reading";
  for await (const item of flow) {
    show(item);
    await new Promise(requestAnimationFrame);
  }
  element("state").textContent = "all is read";
} catch (error) {
  element("state").textContent = `stopped: ${error.message}`;
}
