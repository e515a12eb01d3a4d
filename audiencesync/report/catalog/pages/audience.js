"use strict";
(() => {
  const button = document.getElementById("copy"), text = document.getElementById("text"), said = document.getElementById("said");
  const selected = () => {
    const range = document.createRange();
    range.selectNodeContents(text);
    const selection = getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
    return document.execCommand("copy");
  };
  button.addEventListener("click", async () => {
    let done;
    try {
      await navigator.clipboard.writeText(text.textContent);
      done = true;
    } catch {
      done = selected();
    }
    said.textContent = done ? "Copied" : "Selected: copy it with the keyboard";
  });
  button.hidden = false;
  addEventListener("keydown", (event) => {
    const busy = event.target.closest("input, textarea") || event.ctrlKey || event.metaKey || event.altKey;
    if (event.key === "/" && !busy) {
      event.preventDefault();
      location.href = "index.html#q=";
    }
  });
})();
