/* The page around table and figures: conclusions, theme, address, and updates while a sweep runs. */
function words() {
  const { data } = state,
    several = data.comparisons.length > 1;
  $("#created").textContent = data.created + (document.body.dataset.watch > 0 ? " · updates automatically" : "");
  $("#status").textContent = data.status ? `Trials: ${data.status}.` : "";
  $("#conclusions").replaceChildren(
    ...data.comparisons.flatMap((c, i) =>
      [
        several
          ? make(
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
            )
          : null,
        make(
          "p",
          { className: i === state.setting ? "conclusion" : "conclusion other" },
          ...marked(c.conclusion[0]),
          c.conclusion[1] ? make("span", {}, ...marked(` ${c.conclusion[1]}`)) : null,
        ),
      ].filter(Boolean),
    ),
  );
  if (!data.comparisons.length)
    $("#conclusions").replaceChildren(
      make(
        "p",
        { className: "conclusion" },
        data.status ? `No trial could be read: ${data.status}.` : "No trials yet.",
      ),
      ...data.notes.map((note) => make("p", { className: "quiet" }, ...marked(note))),
    );
  const list = data.problems.map((p) =>
    make(
      "tr",
      {},
      make("td", {}, p.status + (p.progress ? ` at ${Math.round(100 * p.progress)} %` : "")),
      make("td", {}, p.name),
      make("td", {}, p.error || "Stopped. Run the same command to resume."),
    ),
  );
  const head = make(
    "tr",
    {},
    ...["status", "trial", "reason"].map((title) => make("th", { scope: "col", className: "words" }, title)),
  );
  $("#failures > div").replaceChildren(
    list.length
      ? make("table", {}, make("thead", {}, head), make("tbody", {}, ...list))
      : make("p", { className: "quiet" }, "None."),
    data.problems_more ? make("p", { className: "quiet" }, `${data.problems_more} more are listed by --json.`) : "",
  );
}

function reproduce() {
  const home = $("#reproduce > div"),
    parts = [];
  for (const { command, trials } of current().commands) {
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
    parts.push(
      make("p", { className: "quiet" }, `${trials} trial${trials > 1 ? "s" : ""} `, copy),
      make("pre", {}, code),
    );
  }
  const covered = current().commands.reduce((sum, { trials }) => sum + trials, 0),
    finished = current().rows.reduce((sum, row) => sum + row.finished, 0);
  if (covered < finished)
    parts.push(
      make(
        "p",
        { className: "quiet" },
        "Shown: the best group and the baseline. Every trial’s command is in its result.json and in --json.",
      ),
    );
  for (const { trials, ...versions } of state.data.versions) {
    parts.push(
      make(
        "p",
        { className: "quiet" },
        `${Object.entries(versions)
          .map(([name, version]) => `${name} ${version}`)
          .join(" · ")} (${trials} trials)`,
      ),
    );
  }
  const devices = Object.entries(state.data.devices)
    .map(([device, count]) => `${device} (${count} trials)`)
    .join(", ");
  if (devices) parts.push(make("p", { className: "quiet" }, `Devices: ${devices}`));
  home.replaceChildren(...parts);
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
    figures();
    reproduce();
  } else
    document.querySelectorAll("main > section:not(#failures)").forEach((part) => {
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
$("#filter").oninput = table;
$("#all-rows").onclick = () => {
  state.all = !state.all;
  table();
};
recall();
named();
show();
if (document.body.dataset.watch > 0) setTimeout(follow, 1000 * document.body.dataset.watch, fetched);
