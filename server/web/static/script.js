"use strict";
// Everything works without this script but playing in place, film strips, marks, the basket, and dropped files.

const $ = (selector, root = document) => root.querySelector(selector);
const library = document.body.dataset.library;

function say(text) {
  $("#said").textContent = text;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => { $("#said").textContent = ""; }, 6000);
}

async function post(address, body) {
  const sent = { body: JSON.stringify(body), headers: { "content-type": "application/json" } };
  const answer = await fetch(address, { method: "POST", ...sent });
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({ detail: answer.statusText }));
    throw new Error(problem.detail);
  }
  return answer;
}

// --- Film strips: while the pointer or the focus is on a picture, it moves.

function roll(event, on) {
  const img = event.target.closest?.(".moment .picture")?.querySelector("img[data-strip]");
  if (!img) return;
  img.dataset.still ??= img.src;
  img.src = on ? img.dataset.strip : img.dataset.still;
}
for (const name of ["mouseover", "focusin"]) document.addEventListener(name, (event) => roll(event, true));
for (const name of ["mouseout", "focusout"]) document.addEventListener(name, (event) => roll(event, false));

// --- The player, in a dialog over the search, or on a page of its own.

const dialog = $("#player");
const loaded = { path: location.pathname + location.search, title: document.title };

// The moment's own address is in the bar while the dialog is open: it can be sent to somebody, and Back closes the dialog.
async function open(address) {
  const page = await playerPage(address);
  if (!page) return;
  history[dialog.open ? "replaceState" : "pushState"]({ player: address }, "", address);
  showPlayer(page);
}

async function playerPage(address) {
  const answer = await fetch(address);
  if (!answer.ok) { say("This moment cannot be shown."); return null; }
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  if ($("article.player", page)) return page;
  location.href = address;
  return null;
}

function showPlayer(page) {
  dialog.replaceChildren(document.adoptNode($("article.player", page)));
  document.title = page.title;
  if (!dialog.open) dialog.showModal();
  play(dialog);
}

window.addEventListener("popstate", async (event) => {
  const address = event.state?.player;
  if (address && !$("#main article.player")) {
    const page = await playerPage(address);
    if (page && history.state?.player === address) showPlayer(page);
  } else if (dialog.open) dialog.close();
  else if (location.pathname + location.search !== loaded.path) location.reload();  // the moment's page was loaded meanwhile
});

function play(root) {
  const article = $("article.player", root);
  const video = $("video", root);
  if (!article || !video) return;
  let whole = article.dataset.plays === "file";
  const start = Number(article.dataset.start);
  const end = Number(article.dataset.end);
  const loops = $("[data-loop]", article);
  video.loop = !whole;
  const toStart = () => { if (whole) video.currentTime = start; };
  video.addEventListener("loadedmetadata", toStart, { once: true });
  if (video.readyState >= 1) toStart();
  video.addEventListener("timeupdate", () => {
    const beyond = video.currentTime >= end || video.ended;
    if (whole && loops.getAttribute("aria-pressed") === "true" && beyond && !video.seeking) { toStart(); video.play(); }
  });
  loops.addEventListener("click", () => {
    const on = loops.getAttribute("aria-pressed") !== "true";
    loops.setAttribute("aria-pressed", String(on));
    if (!whole) video.loop = on;
  });
  const asMoment = () => {  // such as 10 bit H.264, which the catalogue does not tell apart
    if (!whole) { say("This moment cannot be played."); return; }
    whole = false;
    article.dataset.plays = "moment";
    video.loop = true;
    video.src = article.dataset.moment;
    video.play().catch(() => {});
  };
  video.addEventListener("error", asMoment);
  video.addEventListener("loadeddata", () => { if (whole && !video.videoWidth) asMoment(); });
  video.muted = !navigator.userActivation?.hasBeenActive;
  video.play().catch(() => {});
  video.focus();
}

dialog.addEventListener("close", () => {
  dialog.replaceChildren();
  document.title = loaded.title;
  if (history.state?.player) history.back();  // it was not Back that closed it
});

document.addEventListener("keydown", (event) => {
  const typing = event.target.matches?.("input, textarea, select") || (event.key === " " && event.target.matches?.("button"));
  const video = $("article.player video");
  if (video && !typing && (dialog.open || !$("#moments"))) {
    const frameS = 1 / Number(video.closest("article").dataset.fps);
    const moves = { ArrowLeft: -2, ArrowRight: 2, ",": -frameS, ".": frameS };
    if (event.key === " ") { video.paused ? video.play() : video.pause(); event.preventDefault(); }
    else if (event.key in moves) {
      if (event.key === "," || event.key === ".") video.pause();
      $("article.player [data-loop]").setAttribute("aria-pressed", "false");
      video.loop = false;
      video.currentTime = Math.max(0, video.currentTime + moves[event.key]);
      event.preventDefault();
    }
    return;
  }
  const cards = [...document.querySelectorAll("#moments .picture")];
  if (typing && !(event.key === "ArrowDown" && event.target.type === "search") || !cards.length || $("dialog[open]")) return;
  const at = cards.indexOf(document.activeElement);
  const columns = cards.filter((card) => card.getBoundingClientRect().top === cards[0].getBoundingClientRect().top).length;
  const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: at < 0 ? 1 : columns, ArrowUp: -columns }[event.key];
  if (step) {
    const next = cards[at + step];
    if (next) next.focus();
    else if (event.key === "ArrowUp") $(".search input[type=search]")?.focus();
    event.preventDefault();
  }
});

// Boxes that were left empty do not go into the address, nor do all channels, which are the same as none.
function leaveOutBlanks(form) {
  for (const field of form.elements) if (field.name && !field.value) field.disabled = true;
  if ([...form.querySelectorAll("[name=text]")].some((box) => box.value !== box.defaultValue)) {
    for (const field of form.querySelectorAll("[name=right], [name=wrong]")) field.disabled = true;  // of another question
  }
  for (const boxes of form.querySelectorAll(".channels")) boxes.disabled = !$("input:not(:checked)", boxes);
  setTimeout(() => { for (const field of form.elements) field.disabled = false; });
}
// Wherever the form is: a dropped file brings new ones.
document.addEventListener("submit", (event) => {
  if (event.target.matches("form.search, form.sql")) leaveOutBlanks(event.target);
  else if (event.target.matches("#keep")) { event.preventDefault(); keepTag(event.target); }
});

// --- Marks: right and wrong go into the address, and the list comes back in a new order.

function mark(button) {
  const { clip, right } = button.closest("[data-clip]").dataset;
  const address = new URL(location.href);
  const marked = [clip, ...(right ?? "").split(" ")];  // the moment may show clips that were marked before
  const was = button.dataset.mark === "right" && right !== undefined;
  for (const name of ["right", "wrong"]) {
    const kept = address.searchParams.getAll(name).filter((id) => !marked.includes(id));
    address.searchParams.delete(name);
    kept.forEach((id) => address.searchParams.append(name, id));
  }
  if (!was) address.searchParams.append(button.dataset.mark, clip);
  location.href = address;
}

async function keepTag(form) {
  const given = new URL(location.href).searchParams;
  const ids = (name) => given.getAll(name);
  try {
    say("Teaching…");
    const name = form.elements.name.value;
    await post("/api/tags", { library, name, right: ids("right"), wrong: ids("wrong") });
    say(`The tag “${name}” is kept: every clip has a score for it.`);
  } catch (error) { say(error.message); }
}

// --- The basket: kept by the browser, for each library.

const KEY = `basket:${library}`;
const basket = () => JSON.parse(localStorage.getItem(KEY) ?? "[]");
function keepBasket(moments) {
  localStorage.setItem(KEY, JSON.stringify(moments));
  showBasket();
}
function showBasket() {
  const moments = basket();
  $("#basket-open").hidden = !moments.length;
  $("#basket-count").textContent = moments.length;
  $("#basket-moments").replaceChildren(...moments.map((moment, number) => {
    const item = document.createElement("li");
    item.className = "moment";
    const img = document.createElement("img");
    const given = new URLSearchParams({ start: moment.start, end: moment.end, width: 160, library });
    img.src = `/api/moments/${moment.clip}.jpg?${given}`;
    img.alt = `moment ${number + 1}`;
    const remove = document.createElement("button");
    remove.type = "button";
    remove.textContent = "Remove";
    remove.addEventListener("click", () => keepBasket(basket().filter((_, other) => other !== number)));
    item.append(img, remove);
    return item;
  }));
}
function putIntoBasket(button) {
  const { clip, start, end } = button.closest("[data-clip]").dataset;
  const moments = basket().filter((moment) => moment.clip !== clip || moment.start !== start || moment.end !== end);
  keepBasket([...moments, { clip, start, end }]);
  say("It is in the basket.");
}
async function exportBasket(form) {
  try {
    say("Exporting…");
    const moments = basket().map((moment) => ({ clip_id: moment.clip, start_s: Number(moment.start), end_s: Number(moment.end) }));
    const answer = await post("/api/export", { library, form, moments });
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await answer.blob());
    link.download = "moments.zip";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    say("Exported.");
  } catch (error) { say(error.message); }
}
showBasket();

// --- Clicks, wherever they happen.

document.addEventListener("click", (event) => {
  const target = event.target.closest("a, button");
  if (!target || event.defaultPrevented) return;
  const inPlayer = target.closest("article.player");
  if (target.matches("#basket-open")) $("#basket").showModal();
  else if (target.matches("#basket-clear")) keepBasket([]);
  else if (target.matches("[data-export]")) exportBasket(target.dataset.export);
  else if (target.matches("[data-mark]")) mark(target);
  else if (target.matches("[data-basket]")) putIntoBasket(target);
  else if (target.matches("[data-close]")) {
    const open = target.closest("dialog");
    open ? open.close() : history.back();
  } else {
    const address = target.getAttribute("href") ?? target.href?.baseVal;
    const plain = !(event.ctrlKey || event.metaKey || event.shiftKey);
    if (plain && address?.startsWith("/moment/") && (dialog.open || !inPlayer)) { event.preventDefault(); open(address); }
  }
});

// --- A dropped picture or clip is the example.

async function searchByFile(file) {
  const form = new FormData();
  form.set("file", file);
  form.set("library", library);
  for (const name of ["text", "not", "where", "by"]) {
    const value = $(`.search [name=${name}]`)?.value;
    if (value) form.append(name, value);
  }
  const boxes = [...document.querySelectorAll(".search [name=in]")];
  if (boxes.some((box) => !box.checked)) for (const box of boxes) if (box.checked) form.append("in", box.value);
  try {
    say("Looking for it…");
    const answer = await fetch(`/find-by-file?library=${encodeURIComponent(library)}`, { method: "POST", body: form });
    if (answer.headers.get("content-type") === "application/problem+json") throw new Error((await answer.json()).detail);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");  // errors of the file too
    $("#main").replaceWith(document.adoptNode($("#main", page)));
    say("");
  } catch (error) { say(error.message); }
}
document.addEventListener("change", (event) => {
  if (event.target.matches("#drop input") && event.target.files.length) searchByFile(event.target.files[0]);
});
document.addEventListener("dragover", (event) => {
  if ($("#drop") && event.dataTransfer.types.includes("Files")) { event.preventDefault(); document.body.classList.add("dropping"); }
});
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("dropping"); });
document.addEventListener("drop", (event) => {
  document.body.classList.remove("dropping");
  if ($("#drop") && event.dataTransfer.files.length) { event.preventDefault(); searchByFile(event.dataTransfer.files[0]); }
});

// --- SQL: Ctrl+Enter runs; arrow keys choose among words that complete the one before the cursor, Tab or Enter takes one.

const query = $("#query");
if (query) {
  const words = [...document.querySelectorAll("#words option")].map((option) => option.value);
  const list = $("#completions");
  const begun = () => query.value.slice(0, query.selectionStart).match(/[A-Za-z_][A-Za-z_0-9]*$/)?.[0] ?? "";
  const close = () => {
    list.hidden = true;
    query.removeAttribute("aria-activedescendant");
  };
  const complete = (word) => {
    query.setRangeText(word, query.selectionStart - begun().length, query.selectionStart, "end");
    close();
    query.focus();
  };
  const chosen = () => list.children[Number(list.dataset.chosen)];
  const choose = (number) => {
    list.dataset.chosen = (number + list.children.length) % list.children.length;
    for (const item of list.children) item.setAttribute("aria-selected", String(item === chosen()));
    query.setAttribute("aria-activedescendant", chosen().id);
  };
  query.addEventListener("input", () => {
    const start = begun().toLowerCase();
    const found = start.length < 2 ? [] : words.filter((word) => word.startsWith(start) && word !== start).slice(0, 12);
    list.replaceChildren(...found.map((word, number) => {
      const item = document.createElement("li");
      item.setAttribute("role", "option");
      item.id = `completion-${number}`;
      item.textContent = word;
      item.addEventListener("mousedown", (event) => { event.preventDefault(); complete(word); });
      return item;
    }));
    if (!found.length) { close(); return; }
    list.hidden = false;
    choose(0);
  });
  query.addEventListener("blur", close);
  query.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) query.form.requestSubmit();
    else if (list.hidden || event.shiftKey || event.isComposing) return;
    else if (event.key === "Escape" || event.key === "ArrowLeft" || event.key === "ArrowRight") close();
    else {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      const takes = event.key === "Tab" || event.key === "Enter";
      if (!step && !takes) return;
      event.preventDefault();
      if (step) choose(Number(list.dataset.chosen) + step);
      else complete(chosen().textContent);
    }
  });
}

if ($("[data-refresh]")) setTimeout(() => location.reload(), 5000);
if (!dialog.open) play(document);
