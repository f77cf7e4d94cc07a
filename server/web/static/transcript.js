"use strict";
// The lines beside the player: a click goes to their time, a box hides those without some words, and the line that is being
// said is marked. Without this script, each line is a link to its own moment.

{
  const linesOf = (article) => [...article.querySelectorAll(".transcript a")];

  document.addEventListener("click", (event) => {
    const line = event.target.closest?.(".transcript a");
    const article = line?.closest("article.player");
    if (!line || event.ctrlKey || event.metaKey || event.shiftKey || article.dataset.plays !== "file") return;
    event.preventDefault();
    const video = article.querySelector("video");
    article.querySelector("[data-loop]").setAttribute("aria-pressed", "false");
    video.currentTime = Number(line.dataset.from);
    video.play().catch(() => {});
  });

  // These events do not bubble: they are caught on their way down.
  for (const name of ["timeupdate", "seeked"]) {
    document.addEventListener(name, (event) => {
      const article = event.target.closest?.("article.player");
      if (article) follow(article, event.target);
    }, true);
  }

  function follow(article, video) {
    const begin = article.dataset.plays === "file" ? 0 : Number(article.dataset.start);
    const at = begin + video.currentTime + 0.01;  // a seek may end a little before the time that it was for
    for (const line of linesOf(article)) {
      const isNow = Number(line.dataset.from) <= at && at < Number(line.dataset.to);
      if (isNow === line.hasAttribute("aria-current")) continue;
      if (isNow) line.setAttribute("aria-current", "true");
      else line.removeAttribute("aria-current");
      const list = line.closest(".transcript");
      if (isNow && !list.matches(":hover, :focus-within")) list.scrollTop = line.offsetTop - list.clientHeight / 3;
    }
  }

  document.addEventListener("input", (event) => {
    if (!event.target.matches("[data-filter]")) return;
    const article = event.target.closest("article.player");
    const wanted = event.target.value.trim().toLowerCase();
    const lines = linesOf(article);
    for (const line of lines) {
      line.parentElement.hidden = !line.querySelector(".words").textContent.toLowerCase().includes(wanted);
    }
    const shown = lines.filter((line) => !line.parentElement.hidden).length;
    article.querySelector("[data-filtered]").textContent = wanted ? `${shown} of ${lines.length} lines` : "";
  });
}
