"use strict";
(() => {
  // One pair of classes alone: the address says which, so that links and the Back button work.
  const sections = [...document.querySelectorAll("section.pair")];
  const only = document.querySelector(".only");
  const choose = () => {
    const chosen = sections.find((section) => "#" + section.id === location.hash);
    for (const section of sections) section.hidden = Boolean(chosen) && section !== chosen;
    if (only) only.hidden = !chosen;
    if (chosen) chosen.scrollIntoView();
  };
  addEventListener("hashchange", choose);
  choose();

  // The image in the place of its counterfactual: the eye finds what moves.
  // A card has one of them; a row of a comparison has one in each cell.
  for (const button of document.querySelectorAll("button.look")) {
    const query = button.closest(".card, .shown").querySelector("img[data-role=query]");
    const counterfactual = button.querySelector("img");
    const sentence = button.closest(".card, .cell").querySelector(".sentence");
    const own = counterfactual.getAttribute("src");
    const show = (src) => () => counterfactual.setAttribute("src", src);
    button.addEventListener("pointerenter", show(query.getAttribute("src")));
    button.addEventListener("pointerleave", show(own));
    button.addEventListener("click", () => look(query, own, sentence.textContent));
  }

  // Both on top of each other, and a slide from the one to the other.
  const dialog = document.querySelector("dialog");
  const stage = dialog.querySelector(".stage");
  const slide = dialog.querySelector("input");
  const look = (query, after, sentence) => {
    const before = query.getAttribute("src");
    const longer = Math.max(query.naturalWidth, query.naturalHeight);
    const room = Math.min(innerWidth - 80, innerHeight - 240, 512);
    const factor = longer < room && query.className === "pixels" ? Math.floor(room / longer) : room / longer;
    stage.replaceChildren(
      ...[before, after].map((src) => {
        const img = document.createElement("img");
        img.setAttribute("src", src);
        img.alt = src === before ? "the image" : "its counterfactual";
        img.className = query.className;
        img.width = query.naturalWidth * factor;
        img.height = query.naturalHeight * factor;
        return img;
      }),
    );
    dialog.querySelector(".sentence").textContent = sentence;
    slide.value = 100;
    fade();
    dialog.showModal();
    slide.focus();
  };
  const fade = () => (stage.lastElementChild.style.opacity = slide.value / 100);
  slide.addEventListener("input", fade);
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
})();
