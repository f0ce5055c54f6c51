// Draws an explorable: loads Vega once a page, and hands what the reader chose to the drawing.
// Expects the HTML that linfcourse/explore.py writes, and is put into the page with each of them.
window.linfcourseExplorable ??= (() => {
  const views = (window.linfcourseViews = []); // what is drawn on this page, for tests
  let loaded;

  function script(attributes) {
    return new Promise((resolve, reject) => {
      const element = Object.assign(document.createElement("script"), attributes);
      element.onload = resolve;
      element.onerror = () => reject(new Error(`${attributes.src} did not load`));
      document.head.append(element);
    });
  }

  // The built book has the files beside it, and says where. Jupyter and Colab have not.
  async function load(libraries) {
    const root = document.documentElement.dataset.content_root;
    const loader = window.define; // where there is a loader of modules, they would go to it
    if (loader?.amd) window.define = undefined;
    try {
      for (const { file, address, integrity } of libraries)
        await script(
          root === undefined
            ? { src: address, integrity, crossOrigin: "anonymous" }
            : { src: `${root}_static/vega/${file}` },
        );
    } finally {
      if (loader?.amd) window.define = loader;
    }
  }

  return async ({ id, libraries, panels, tables, controls }) => {
    const figure = document.querySelector(`#${id}:not([data-state])`);
    if (!figure) return;
    figure.dataset.state = "loading";
    try {
      await (loaded ??= load(libraries));
      const places = figure.querySelectorAll(".explorable-panel");
      const options = { mode: "vega-lite", renderer: "svg", actions: false, tooltip: false };
      const drawn = [];
      for (const [k, panel] of panels.entries()) {
        const spec = { ...panel, datasets: { ...panel.datasets, ...tables } };
        drawn.push((await vegaEmbed(places[k], spec, options)).view);
        places[k].ariaHidden = "true"; // the figure has one description, not one for each mark
      }
      const show = (name, k) => {
        const { values, texts } = controls[name];
        const input = figure.querySelector(`[name="${name}"]`);
        if (input.type === "range") input.setAttribute("aria-valuetext", texts[k]);
        figure.querySelector(`output[for="${input.id}"]`).textContent = texts[k];
        for (const view of drawn) view.signal(name, values[k]).run();
      };
      for (const [name, { start }] of Object.entries(controls)) {
        const input = figure.querySelector(`[name="${name}"]`);
        input.value = start; // a browser may remember where it was left
        input.addEventListener("input", () => show(name, Number(input.value)));
        show(name, start);
      }
      // On paper: the figure as it stands on opening the page.
      const onPaper = (paper) => {
        for (const [name, { start }] of Object.entries(controls))
          show(name, paper ? start : Number(figure.querySelector(`[name="${name}"]`).value));
      };
      addEventListener("beforeprint", () => onPaper(true));
      addEventListener("afterprint", () => onPaper(false));
      matchMedia("print").addEventListener("change", ({ matches }) => onPaper(matches));
      views.push({ id, views: drawn });
      figure.dataset.state = "drawn";
    } catch (error) {
      loaded = undefined;
      figure.dataset.state = "failed";
      figure.querySelector(".explorable-fallback").prepend(`Could not be drawn (${error.message}). `);
    }
  };
})();
