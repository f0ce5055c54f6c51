/* What scrolls inside itself can be reached, and so scrolled, by keyboard. */
(() => {
  const boxes = "mjx-container[display], .bd-article pre, .bd-article .pst-scrollable-table-container";
  const update = () => {
    for (const box of document.querySelectorAll(boxes)) {
      if (box.scrollWidth > box.clientWidth + 1) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
    }
  };
  window.addEventListener("load", async () => {
    if (window.MathJax && MathJax.startup) await MathJax.startup.promise;
    update();
    window.addEventListener("resize", update);
  });
})();
