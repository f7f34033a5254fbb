// RoPE as dials with two sliders, in the place of the drawing in the chapter on positions. Without it the drawing stays.
(function () {
  const ANGLES = [[0.4, 1.9], [1.1, 2.0], [2.6, 0.9], [0.2, 5.6]];  // of query and key in each pair, before rotation
  const SPEEDS = [1, 0.1, 0.01, 0.001];  // radians per position
  const R = 52, QUERY = "#0072b2", KEY = "#d55e00", SVG = "http://www.w3.org/2000/svg";

  function make(tag, attributes, parent, words) {
    const element = document.createElementNS(SVG, tag);
    for (const name in attributes) element.setAttribute(name, attributes[name]);
    if (words) element.textContent = words;
    parent.appendChild(element);
    return element;
  }

  function slider(parent, label, value, largest) {
    const row = document.createElement("label"), words = document.createElement("span");
    const input = document.createElement("input"), output = document.createElement("output");
    words.textContent = label;
    Object.assign(input, {type: "range", min: 0, max: largest, step: 1, value: value});
    row.append(words, input, output);
    parent.appendChild(row);
    return {input, show: () => { output.textContent = input.value; return Number(input.value); }};
  }

  function build(figure) {
    const image = figure.querySelector("img");
    if (!image) return;
    const card = document.createElement("div");
    card.className = "positions-dials";
    const svg = make("svg", {viewBox: "0 0 590 160", role: "img"}, card);
    const hands = SPEEDS.map((speed, i) => {
      const x = 90 + 137 * i, y = 98;
      make("text", {x, y: 26, "text-anchor": "middle", "font-size": 19, fill: "#1f2937"}, svg,
           `${speed} rad`);
      make("circle", {cx: x, cy: y, r: R, fill: "white", stroke: "#5b6675"}, svg);
      return [QUERY, KEY].map((colour) => ({
        x, y,
        line: make("line", {x1: x, y1: y, stroke: colour, "stroke-width": 3.5, "stroke-linecap": "round"}, svg),
        tip: make("circle", {r: 5, fill: colour}, svg),
      }));
    });
    const key = slider(card, "key stands at", 3, 200), distance = slider(card, "query stands this much later", 2, 100);
    const said = document.createElement("p");
    said.setAttribute("role", "status");
    card.appendChild(said);

    function draw() {
      const n = key.show(), m = n + distance.show();
      let score = 0;
      SPEEDS.forEach((speed, i) => {
        const angles = [ANGLES[i][0] + m * speed, ANGLES[i][1] + n * speed];
        score += Math.cos(angles[0] - angles[1]);
        hands[i].forEach((hand, j) => {
          const x = hand.x + 0.84 * R * Math.cos(angles[j]), y = hand.y - 0.84 * R * Math.sin(angles[j]);
          hand.line.setAttribute("x2", x);
          hand.line.setAttribute("y2", y);
          hand.tip.setAttribute("cx", x);
          hand.tip.setAttribute("cy", y);
        });
      });
      const number = score.toFixed(2).replace("-", "\u2212");
      said.textContent = `Query (blue) at ${m}, key (orange) at ${n}: q \u00b7 k = ${number}`;
      svg.setAttribute("aria-label", `Four dials with a hand for the query and one for the key. ${said.textContent}`);
    }

    for (const {input} of [key, distance]) input.addEventListener("input", draw);
    draw();
    const shown = image.closest("a") || image;
    shown.before(card);
    shown.hidden = true;
    shown.style.display = "none";
  }

  function start() {
    const figure = document.getElementById("fig-positions-rope");
    if (figure) build(figure);
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
