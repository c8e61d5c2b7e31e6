/* What the page shows and how it writes it; page.py joins these files into one function. */
const SLOTS = 6,
  ROWS = 50,
  PARALLEL = 200;
const $ = (selector, home = document) => home.querySelector(selector);
const fetched = $("#data").textContent;
const state = {
  data: JSON.parse(fetched),
  setting: 0,
  sort: ["rank", 1],
  slots: new Map(),
  touched: false,
  all: false,
  picked: {},
};
const current = () => state.data.comparisons[state.setting];

/** An element with properties and children; text is always text, never HTML. */
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element && name !== "style") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}
/** Text in which `backticks` mark code. */
const marked = (text) => text.split("`").map((piece, i) => (i % 2 ? make("code", {}, piece) : piece));
const minus = (text) => text.replace("-", "−");
const fixed = (value, digits = current().metric.digits) => (value === null ? "" : minus(value.toFixed(digits)));
/** `+0.97 [0.45, 1.48]`. */
const intervalText = (row) =>
  signed(row.difference) +
  (row.difference_low === null ? "" : ` [${fixed(row.difference_low)}, ${fixed(row.difference_high)}]`);
const narrow = matchMedia("(max-width: 40rem)");
const signed = (value) => (value === null ? "" : (value > 0 ? "+" : "") + fixed(value));
const unit = () => (current().metric.percent ? " %" : "");
