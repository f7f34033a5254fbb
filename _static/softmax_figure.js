// Puts sliders in place of the picture of a softmax. Without scripts the picture, with its alt text, stays.
(function () {
  "use strict";
  const NAMES = ["EH", "IY", "EY", "AA"];
  const LOGITS = [3.0, 2.6, 0.5, -1.0];
  const ZERO = 150, GROUND = 330, UNIT = 13, FULL = 110;
  const SVG = "http://www.w3.org/2000/svg";

  /** Probabilities and log Z of (z + shift) / temperature. */
  function softmax(shift, temperature) {
    const z = LOGITS.map((logit) => (logit + shift) / temperature);
    const top = Math.max(...z);
    const logZ = top + Math.log(z.reduce((sum, x) => sum + Math.exp(x - top), 0));
    return { z, logZ, p: z.map((x) => Math.exp(x - logZ)) };
  }

  function draw(kind, attributes, parent, words) {
    const node = document.createElementNS(SVG, kind);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    if (words !== undefined) node.textContent = words;
    parent.append(node);
    return node;
  }

  function number(x, digits) {
    return x.toFixed(digits).replace("-", "\u2212");
  }

  function slider(parent, id, label, low, high, step, start) {
    const row = document.createElement("div");
    const name = document.createElement("label");
    const input = document.createElement("input");
    const shown = document.createElement("span");
    name.htmlFor = input.id = id;
    name.textContent = label;
    Object.assign(input, { type: "range", min: low, max: high, step: step, value: start });
    row.append(name, input, shown);
    parent.append(row);
    return { input, shown };
  }

  function build(figure, picture) {
    const box = document.createElement("div");
    box.className = "tf-softmax";
    box.setAttribute("role", "group");
    box.setAttribute("aria-label", "Softmax of four logits, with sliders for a shift and a temperature");
    const svg = draw("svg", { viewBox: "0 0 420 362", "aria-hidden": "true" }, box);
    const controls = document.createElement("div");
    const shift = slider(controls, "tf-softmax-shift", "shift c, added to all logits", -4, 4, 0.5, 0);
    const heat = slider(controls, "tf-softmax-temperature", "temperature \u03c4, divides all logits", 0.25, 4, 0.25, 1);
    const told = document.createElement("output");
    told.htmlFor = "tf-softmax-shift tf-softmax-temperature";
    controls.append(told);
    box.append(controls);

    for (const y of [ZERO, GROUND]) draw("path", { d: `M90 ${y} H410`, class: "axis" }, svg);
    draw("text", { x: 4, y: ZERO - 4 }, svg, "logits");
    draw("text", { x: 4, y: GROUND - 4 }, svg, "probabilities");
    const bars = NAMES.map((name, i) => {
      const x = 100 + 80 * i;
      draw("text", { x: x + 30, y: GROUND + 20, class: "middle name" }, svg, name);
      return {
        logit: draw("rect", { x, width: 60, class: "logit" }, svg),
        share: draw("rect", { x, width: 60, class: "share" }, svg),
        logitText: draw("text", { x: x + 30, class: "middle" }, svg, ""),
        shareText: draw("text", { x: x + 30, class: "middle" }, svg, ""),
      };
    });

    function update() {
      const c = Number(shift.input.value), tau = Number(heat.input.value);
      const { z, logZ, p } = softmax(c, tau);
      bars.forEach((bar, i) => {
        const height = Math.max(-4.5 * UNIT, Math.min(10.5 * UNIT, z[i] * UNIT));  // long bars are cut at the edge
        const top = ZERO - Math.max(height, 0);
        bar.logit.setAttribute("y", top);
        bar.logit.setAttribute("height", Math.abs(height));
        bar.logitText.setAttribute("y", height < 0 ? ZERO - 5 : Math.max(top - 5, 12));
        bar.logitText.textContent = number(z[i], 1);
        bar.share.setAttribute("y", GROUND - FULL * p[i]);
        bar.share.setAttribute("height", FULL * p[i]);
        bar.shareText.setAttribute("y", GROUND - FULL * p[i] - 5);
        bar.shareText.textContent = number(p[i], 2);
      });
      shift.shown.textContent = number(c, 1);
      heat.shown.textContent = number(tau, 2);
      shift.input.setAttribute("aria-valuetext", `shift ${number(c, 1)}`);
      heat.input.setAttribute("aria-valuetext", `temperature ${number(tau, 2)}`);
      told.textContent = `log Z = ${number(logZ, 2)}; ` + NAMES.map((n, i) => `${n} ${number(p[i], 2)}`).join(", ");
    }

    shift.input.addEventListener("input", update);
    heat.input.addEventListener("input", update);
    update();
    picture.before(box);
    picture.hidden = true;
    picture.style.display = "none";
  }

  function start() {
    const figure = document.getElementById("fig-symbols-softmax");
    const picture = figure && figure.querySelector("img");
    if (picture) build(figure, picture.closest("a") || picture);
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
