/* The page around table and figures: conclusions, theme, address, and updates while a sweep runs. */
const quiet = (...parts) => make("p", { className: "quiet" }, ...parts);
const counted = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;

function words() {
  const { data } = state,
    several = data.comparisons.length > 1;
  $("#created").textContent = data.created + (document.body.dataset.watch > 0 ? " · updates automatically" : "");
  $("#title").textContent = data.title || "Trials";
  $("#question").textContent = data.question;
  $("#question").hidden = !data.question;
  $("#status").textContent = data.status ? `Trials: ${data.status}.` : "";
  const choice = (c, i) =>
    make(
      "button",
      {
        type: "button",
        className: "choose",
        "aria-pressed": String(i === state.setting),
        onclick: () => {
          choosing(i);
          remember();
        },
      },
      c.setting,
    );
  const text = (c, i) =>
    make(
      "p",
      { className: i === state.setting ? "conclusion" : "conclusion other" },
      ...marked(c.conclusion[0]),
      c.conclusion[1] ? make("span", {}, ...marked(` ${c.conclusion[1]}`)) : null,
    );
  const warning = (c) => c.warnings.map((one) => make("p", { className: "warning" }, "Warning: ", ...marked(one)));
  const nothing = data.status ? `No trial could be read: ${data.status}.` : "No trials yet.";
  $("#conclusions").replaceChildren(
    ...(data.comparisons.length
      ? data.comparisons.flatMap((c, i) => [...(several ? [choice(c, i)] : []), text(c, i), ...warning(c)])
      : [make("p", { className: "conclusion" }, nothing), ...data.notes.map((note) => quiet(...marked(note)))]),
  );
  expected(data.answers);
  failures(data);
}

/** What the sweep expected, and the answers. */
function expected(answers) {
  const titles = ["expected", "answer", "estimate [95 %]", "seeds", "source"];
  const inks = { agrees: "better", disagrees: "worse" };
  const cell = (text, i, answer) => make("td", { className: i === 1 ? inks[answer] || "inconclusive" : "" }, text);
  const rows = answers.map(({ answer, cells }) => make("tr", {}, ...cells.map((text, i) => cell(text, i, answer))));
  const head = make("tr", {}, ...titles.map((title) => make("th", { scope: "col", className: "words" }, title)));
  $("#expected").hidden = !answers.length;
  $("#expected > div").replaceChildren(make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows)));
}

function failures({ problems, problems_more: more }) {
  const place = (p) => p.status + (p.progress ? ` at ${Math.round(100 * p.progress)} %` : "");
  const reason = (p) => p.error || "Stopped. Run the same command to resume.";
  const rows = problems.map((p) =>
    make("tr", {}, ...[place(p), p.name, reason(p)].map((cell) => make("td", {}, cell))),
  );
  const names = ["status", "trial", "reason"].map((title) => make("th", { scope: "col", className: "words" }, title));
  const head = make("thead", {}, make("tr", {}, ...names));
  $("#failures").hidden = !problems.length;
  $("#failures > div").replaceChildren(
    make("table", {}, head, make("tbody", {}, ...rows)),
    more ? quiet(`${more} more are listed by --json.`) : "",
  );
}

function reproduce() {
  const parts = [],
    { commands, rows } = current();
  for (const { command, trials } of commands) {
    const code = make("code", {}, command);
    const copy = make(
      "button",
      {
        type: "button",
        className: "plain",
        onclick: async () => {
          getSelection().selectAllChildren(code);
          try {
            await navigator.clipboard.writeText(command);
            copy.textContent = "Copied";
          } catch {
            copy.textContent = "Selected";
          }
        },
      },
      "Copy",
    );
    parts.push(quiet(`${counted(trials, "trial")} `, copy), make("pre", {}, code));
  }
  const covered = commands.reduce((sum, { trials }) => sum + trials, 0);
  if (covered < rows.reduce((sum, row) => sum + row.finished, 0)) {
    parts.push(
      quiet("Shown: the best group and the baseline. Every trial’s command is in its result.json and in --json."),
    );
  }
  for (const { trials, ...versions } of state.data.versions) {
    const names = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
    parts.push(quiet(`${names.join(" · ")} (${counted(trials, "trial")})`));
  }
  const devices = Object.entries(state.data.devices).map(
    ([device, count]) => `${device} (${counted(count, "trial")})`,
  );
  if (devices.length) parts.push(quiet(`Devices: ${devices.join(", ")}`));
  $("#reproduce").hidden = !parts.length;
  $("#reproduce > div").replaceChildren(...parts);
}

/** Links to the W&B runs of each group, where its trials say their addresses. */
function runs() {
  const rows = current().rows.filter((row) => row.wandb.length);
  const link = ([seed, href]) => make("a", { href, rel: "noopener noreferrer" }, `seed ${seed}`);
  $("#runs").hidden = !rows.length;
  $("#runs ul").replaceChildren(
    ...rows.map((row) =>
      make("li", {}, `${row.group}: `, ...row.wandb.flatMap((one, i) => (i ? [", ", link(one)] : [link(one)]))),
    ),
  );
}

function contents() {
  $("#contents").replaceChildren(
    ...[...document.querySelectorAll("main > section:not([hidden])")].map((part) =>
      make("a", { href: `#${part.id}` }, part.dataset.short),
    ),
  );
}

// ---- the view -----------------------------------------------------------------------------------------------------
function show() {
  words();
  if (current()) {
    if (!state.touched) choose();
    table();
    reproduce();
    runs();
    figures();
  } else
    document.querySelectorAll("main > section:not(#failures, #expected)").forEach((part) => {
      part.hidden = true;
    });
  contents();
}
function choosing(setting) {
  Object.assign(state, { setting, touched: false, picked: {}, all: false });
  show();
}
function theme(dark) {
  document.documentElement.style.colorScheme = dark ? "dark" : "light";
  named();
}
const isDark = () =>
  (document.documentElement.style.colorScheme ||
    (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
function named() {
  $("#theme").textContent = isDark() ? "Light" : "Dark";
  $("#theme").setAttribute("aria-label", `Switch to ${isDark() ? "light" : "dark"} colours`);
}
/** The view is in the address, so that a link keeps it. */
function remember() {
  const view = new URLSearchParams({ sort: state.sort.join(",") });
  if (state.setting) view.set("setting", state.setting);
  if (document.documentElement.style.colorScheme) view.set("theme", isDark() ? "dark" : "light");
  try {
    history.replaceState(null, "", `#${view}`);
  } catch {
    /* some viewers allow no address */
  }
}
function recall() {
  const view = new URLSearchParams(location.hash.slice(1)),
    [key, direction] = (view.get("sort") || "").split(",");
  if (COLUMNS.some((column) => column[0] === key)) state.sort = [key, direction === "-1" ? -1 : 1];
  if (state.data.comparisons[view.get("setting")]) state.setting = Number(view.get("setting"));
  if (view.has("theme")) theme(view.get("theme") === "dark");
}
async function follow(last) {
  try {
    const response = await fetch("data.json", { cache: "no-cache" }),
      text = await response.text();
    if (response.ok && text !== last) {
      last = text;
      state.data = JSON.parse(text);
      state.setting = Math.min(state.setting, Math.max(0, state.data.comparisons.length - 1));
      show();
    }
  } catch {
    $("#created").textContent = `${state.data.created} · the server has stopped`;
  }
  setTimeout(follow, 1000 * document.body.dataset.watch, last);
}

$("#theme").onclick = () => {
  theme(!isDark());
  if (current()) figures();
  remember();
};
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  named();
  if (current()) figures();
});
narrow.addEventListener("change", () => {
  if (current()) table();
});
$("#filter").oninput = table;
$("#all-rows").onclick = () => {
  state.all = !state.all;
  table();
  section("effects", (home, lead) => drawForest(home, lead, current()));
};
recall();
named();
show();
if (document.body.dataset.watch > 0) setTimeout(follow, 1000 * document.body.dataset.watch, fetched);
