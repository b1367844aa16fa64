"use strict";
(() => {
  const form = document.getElementById("controls");
  if (!form) return;
  const SHOWN_IN_A_GROUP = 2;
  const figures = [...document.querySelectorAll(".sample")];
  const sections = [...document.querySelectorAll("section.edit")];
  const number = (figure, score) => (score in figure.dataset ? Number(figure.dataset[score]) : NaN);

  const wanted = () => {
    const data = new FormData(form);
    const text = (name) => String(data.get(name) ?? "");
    return {
      score: text("score"), order: text("order"), edit: text("edit"), status: text("status"), gate: text("gate"),
      low: text("low") === "" ? -Infinity : Number(text("low")), high: text("high") === "" ? Infinity : Number(text("high")),
      key: text("key").trim().toLowerCase(),
    };
  };

  const fits = (figure, want) => {
    const own = figure.dataset;
    const value = number(figure, want.score);
    const ranged = want.low > -Infinity || want.high < Infinity;
    return (!want.edit || own.edit === want.edit) && (!want.status || own.status === want.status)
      && (!want.gate || own.gate === want.gate) && (!want.key || own.key.toLowerCase().includes(want.key))
      && (!ranged || (value >= want.low && value <= want.high));
  };

  const byScore = (score, sign) => (one, other) => {
    const [a, b] = [number(one, score), number(other, score)];
    return Number.isNaN(a) - Number.isNaN(b) || sign * (a - b) || 0;
  };
  const orders = {
    up: (score) => byScore(score, 1),
    down: (score) => byScore(score, -1),
    key: () => (one, other) => (one.dataset.key < other.dataset.key ? -1 : one.dataset.key > other.dataset.key ? 1 : 0),
    given: () => () => 0,
  };

  const group = (title, note, found) => {
    const box = document.createElement("div");
    const head = document.createElement("h4");
    const row = document.createElement("div");
    box.className = "group";
    row.className = "row";
    head.textContent = title;
    if (note) head.append(Object.assign(document.createElement("span"), { textContent: ` ${note}` }));
    row.append(...found);
    box.append(head, row);
    return box;
  };

  const grouped = (found, want) => {
    const option = form.elements.score.selectedOptions[0];
    const role = "role" + option.value.charAt(0).toUpperCase() + option.value.slice(1);
    const left = new Set(found);
    const take = (test, most) => {
      const taken = [...left].filter(test).slice(0, most);
      taken.forEach((figure) => left.delete(figure));
      return taken;
    };
    const ends = [["top", option.dataset.top, -1], ["middle", "median", 0], ["bottom", option.dataset.bottom, 1]];
    if (option.dataset.top === "worst") ends.reverse();
    const cut = [["top"], ["bottom"], ["middle"]].map(([name]) => [name, take((each) => each.dataset[role] === name, SHOWN_IN_A_GROUP)]);
    const taken = Object.fromEntries(cut);
    const groups = ends.map(([name, title, sign]) => group(title, "", taken[name].sort(byScore(want.score, sign))));
    groups.push(group("random", "", take((each) => "random" in each.dataset, SHOWN_IN_A_GROUP)));
    groups.push(group("no image", "", take((each) => !["ok", "rejected"].includes(each.dataset.status), SHOWN_IN_A_GROUP)));
    return groups.filter((each) => each.querySelector("figure"));
  };

  const listed = (found, want, order) => {
    const title = { up: "lowest first", down: "highest first", key: "by key" }[order];
    return found.length ? [group(title, `${found.length}`, ordered(found, want, order))] : [];
  };
  const ordered = (found, want, order) => found.sort(orders[order](want.score));
  const arranged = (container, found, want, order) => {
    if (container.tagName === "TBODY") return ordered(found, want, order);
    return order === "groups" ? grouped(found, want) : listed(found, want, order);
  };

  const arrange = () => {
    const want = wanted();
    const narrowed = want.status || want.gate || want.key || want.low > -Infinity || want.high < Infinity;
    const order = want.order === "groups" && narrowed ? (form.elements.score.selectedOptions[0].dataset.top === "worst" ? "up" : "down") : want.order;
    let shown = 0;
    for (const section of sections) {
      const container = section.querySelector(".samples");
      section.hidden = Boolean(want.edit) && section.dataset.edit !== want.edit;
      if (!container) continue;
      const found = figures.filter((figure) => figure.dataset.edit === section.dataset.edit && fits(figure, want));
      container.replaceChildren(...arranged(container, found, want, order));
      const here = container.querySelectorAll(".sample").length;
      shown += here;
      container.closest(".sheet, .scroll").hidden = here === 0;
      section.querySelector(".none").hidden = here > 0;
    }
    for (const value of document.querySelectorAll("figcaption .value")) value.hidden = value.dataset.score !== form.elements.score.value;
    for (const button of document.querySelectorAll(".choose")) button.setAttribute("aria-pressed", String(button.dataset.score === form.elements.score.value));
    form.elements.shown.value = `${shown} of ${figures.length} ${form.elements.shown.dataset.noun}`;
  };

  const dialog = document.getElementById("large");
  let open = null;
  const visible = () => [...document.querySelectorAll("section.edit:not([hidden]) .sample")];
  const enlarge = (figure) => {
    open = figure;
    const tiles = [...figure.querySelectorAll(".tile")];
    dialog.querySelector("h2").textContent = figure.dataset.key;
    dialog.querySelector(".tiles").classList.toggle("many", tiles.length > 5);
    dialog.querySelector(".tiles").replaceChildren(...tiles.map((tile) => {
      const box = document.createElement("figure");
      const copy = tile.cloneNode(true);
      box.append(copy, Object.assign(document.createElement("figcaption"), { textContent: tile.dataset.name }));
      return box;
    }));
    dialog.querySelector(".about").replaceChildren(...[...figure.querySelector(".details").children].map((each) => each.cloneNode(true)));
    if (!dialog.open) dialog.showModal();
  };
  const step = (by) => {
    const all = visible();
    const next = all[all.indexOf(open) + by];
    if (next) enlarge(next);
  };

  document.addEventListener("click", (event) => {
    const target = event.target.closest("button");
    if (event.target === dialog || target?.classList.contains("close")) dialog.close();
    else if (event.target.closest(".open, td .tile")) { const sample = event.target.closest(".sample"); if (sample) enlarge(sample); }
    else if (target?.classList.contains("choose")) { form.elements.score.value = target.dataset.score; arrange(); }
  });
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "ArrowRight") step(1);
    else if (event.key === "ArrowLeft") step(-1);
  });
  dialog.addEventListener("close", () => open?.querySelector(".open").focus());
  form.addEventListener("input", arrange);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(arrange));
  form.hidden = false;
  arrange();
})();
