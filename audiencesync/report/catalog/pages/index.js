"use strict";
(() => {
  const at = (id) => document.getElementById(id);
  const form = at("filters"), list = at("list"), count = at("count"), none = at("none"), reset = at("reset");
  const search = at("q"), review = at("review"), on = at("on"), given = on.value;
  const plain = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
  const rows = Array.from(list.children, (node) => ({
    node,
    text: plain(`${node.textContent} ${node.dataset.s || ""}`),
    tokens: new Set(node.dataset.f.split(" ")),
    review: node.dataset.r || "",
  }));
  const picks = Array.from(form.querySelectorAll("select")).filter((pick) => pick !== review);
  const due = {
    overdue: (row) => row.review !== "" && row.review < on.value,
    later: (row) => row.review !== "" && row.review >= on.value,
    none: (row) => row.review === "",
  };

  const show = () => {
    const words = plain(search.value).split(/\s+/).filter(Boolean);
    const wanted = picks.map((pick) => pick.value).filter(Boolean);
    if ((review.value === "overdue" || review.value === "later") && !on.value) {
      const day = new Date();
      on.value = new Date(day - day.getTimezoneOffset() * 60000).toISOString().slice(0, 10);
    }
    const fits = (row) =>
      words.every((word) => row.text.includes(word)) &&
      wanted.every((token) => (token[0] === "!" ? !row.tokens.has(token.slice(1)) : row.tokens.has(token))) &&
      (!review.value || due[review.value](row));
    let found = 0;
    for (const row of rows) {
      const fit = fits(row);
      found += fit;
      if (row.node.hidden === fit) row.node.hidden = !fit;
    }
    const all = rows.length;
    count.textContent = found === all ? `${all} audience${all === 1 ? "" : "s"}` : `${found} of ${all} audiences`;
    none.hidden = found > 0 || all === 0;
    reset.hidden = !(words.length || wanted.length || review.value);
  };

  // The filters stand in the address, so that they can be shared, and survive going back.
  const said = (field) => (field === search || field === review ? field.value : field.selectedOptions[0].text);
  const keep = () => {
    const parts = new URLSearchParams();
    for (const field of [search, ...picks, review]) if (field.value) parts.set(field.name, said(field));
    if (review.value && on.value !== given) parts.set("on", on.value);
    const text = parts.toString();
    if (location.hash.slice(1) !== text) history.replaceState(null, "", text ? `#${text}` : location.href.split("#")[0]);
  };
  const restore = () => {
    const parts = new URLSearchParams(location.hash.slice(1));
    search.value = parts.get("q") || "";
    for (const pick of picks) {
      const text = parts.get(pick.name);
      const option = Array.from(pick.options).findIndex((each, index) => index && each.text === text);
      pick.selectedIndex = Math.max(option, 0);
    }
    review.value = Object.hasOwn(due, parts.get("review")) ? parts.get("review") : "";
    on.value = parts.get("on") || given;
    show();
    if (parts.has("q") && !search.value) search.focus();
  };

  let later = 0;
  form.addEventListener("input", () => {
    show();
    clearTimeout(later);
    later = setTimeout(keep, 250);
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  reset.addEventListener("click", () => {
    for (const field of [search, ...picks, review]) field.value = "";
    on.value = given;
    show();
    keep();
    search.focus();
  });
  addEventListener("hashchange", restore);
  addEventListener("pagehide", keep);
  addEventListener("keydown", (event) => {
    const busy = event.target.closest("input, select, textarea") || event.ctrlKey || event.metaKey || event.altKey;
    if (event.key === "/" && !busy) {
      event.preventDefault();
      search.focus();
      search.select();
    }
  });
  form.hidden = false;
  restore();
})();
