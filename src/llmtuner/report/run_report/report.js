
"use strict";
(() => {
  // Every text of the data goes into the page with textContent, and every width with a style property: neither can
  // become markup, and the page's policy refuses inline styles.
  const data = JSON.parse(document.getElementById("data").textContent);
  const LETTERS = "ABCDEFGHIJ";
  const ROW = 56; // height of a row in pixels, as in the style sheet
  const CLOSE = 0.1; // two best options with a smaller gap of probabilities: uncertain
  const SELECTS = 4; // columns with a choice of their own
  const WRONG = 0, RIGHT = 1, TIED = 2;
  const [ID, DATASET, ANSWER, QUESTION, OPTIONS, PASSAGE, LENGTH, VALUES] = [0, 1, 2, 3, 4, 5, 6, 7];
  const [RANKING, PROBABILITIES, STATUS] = [0, 1, 2];
  const STATUS_NAMES = new Map([[RIGHT, "right"], [WRONG, "wrong"], [TIED, "tied"], [-1, "unknown"]]);
  const STOP = new Set(("a an and are as at be because been by can do does for from had has have how if in into is it its not of on or " +
    "than that the their them then there these they this those to was were what when where which who why will with would").split(" "));
  const questions = data.questions;
  const state = { run: 0, filter: "all", change: "", columns: new Map(), search: "", shown: [], selected: -1 };
  const at = (name) => document.getElementById(name);
  const list = at("list"), rows = at("rows"), detail = at("detail");

  function element(tag, className, text) {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  }
  const count = (number) => number.toLocaleString("en");
  const percent = (share) => `${(100 * share).toFixed(1)} %`;
  const prediction = (place, run = state.run) => data.predictions[run][place];

  function confidence(place) {
    const [ranking, probabilities] = prediction(place);
    return probabilities[LETTERS.indexOf(ranking[0])];
  }
  function isUncertain(place) {
    const [ranking, probabilities] = prediction(place);
    return probabilities[LETTERS.indexOf(ranking[0])] - (probabilities[LETTERS.indexOf(ranking[1])] ?? 0) < CLOSE;
  }
  const FILTERS = [
    ["all", "All", () => true],
    ["right", "Right", (place) => prediction(place)[STATUS] === RIGHT],
    ["wrong", "Wrong", (place) => [WRONG, TIED].includes(prediction(place)[STATUS])],
    ["uncertain", "Uncertain", isUncertain],
  ];

  // --- which questions are shown

  let searchTexts = null; // made on the first search
  function searchText(place) {
    if (searchTexts === null) {
      searchTexts = questions.map((q) => [q[ID], q[QUESTION] ?? "", ...(q[OPTIONS] ?? []), q[PASSAGE] ?? ""].join("\n").toLowerCase());
    }
    return searchTexts[place];
  }
  function changeTest() {
    if (state.change === "") return () => true;
    if (state.change === "any") {
      return (place) => data.predictions.some((run) => (run[place][STATUS] === RIGHT) !== (data.predictions[0][place][STATUS] === RIGHT));
    }
    const [first, second] = state.change.split(",").map(Number);
    return (place) => prediction(place, second)[STATUS] === RIGHT && prediction(place, first)[STATUS] !== RIGHT;
  }
  function commonTest() {
    const words = state.search.toLowerCase().split(/\s+/).filter(Boolean), changed = changeTest();
    const chosen = [...state.columns].filter(([, value]) => value !== "");
    return (place) => changed(place) && words.every((word) => searchText(place).includes(word)) &&
      chosen.every(([column, value]) => (questions[place][VALUES] ?? [])[column] === value);
  }
  function update() {
    const test = commonTest(), common = questions.map((_, place) => place).filter(test);
    for (const [name, , isShown] of FILTERS) {
      const button = at("filters").querySelector(`[data-filter="${name}"]`);
      if (!button) continue;
      button.setAttribute("aria-pressed", String(state.filter === name));
      button.querySelector(".number").textContent = count(common.filter(isShown).length);
    }
    state.shown = common.filter(FILTERS.find(([name]) => name === state.filter)[2]);
    at("count").textContent = state.shown.length === questions.length ? `${count(questions.length)} questions`
      : `${count(state.shown.length)} of ${count(questions.length)} questions`;
    rows.style.height = `${Math.max(1, state.shown.length) * ROW}px`;
    list.scrollTop = 0;
    const stays = state.shown.includes(state.selected);
    select(stays ? state.selected : state.shown[0] ?? -1);
  }

  // --- the list: only the rows in view are elements

  function badge(place, run = state.run) {
    const status = prediction(place, run)[STATUS], name = STATUS_NAMES.get(status);
    return element("span", `badge ${name}`, status === -1 ? "no answer" : name);
  }
  function row(position) {
    const place = state.shown[position], q = questions[place], made = element("div", "row");
    made.id = `row-${position}`;
    made.setAttribute("role", "option");
    made.setAttribute("aria-selected", String(place === state.selected));
    made.setAttribute("aria-setsize", String(state.shown.length));
    made.setAttribute("aria-posinset", String(position + 1));
    made.style.top = `${position * ROW}px`;
    const top = element("div", "top");
    top.append(element("span", "one-line", q[ID]));
    if (isUncertain(place)) top.append(element("span", "badge unsure", "uncertain"));
    top.append(badge(place));
    made.append(top, element("div", "one-line", q[QUESTION] ?? `${prediction(place)[RANKING].split("").join(" ")}, ${percent(confidence(place))}`));
    made.addEventListener("click", () => select(place));
    return made;
  }
  function drawRows() {
    const first = Math.max(0, Math.floor(list.scrollTop / ROW) - 4);
    const last = Math.min(state.shown.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + 4);
    const made = [];
    for (let position = first; position < last; position += 1) made.push(row(position));
    if (!state.shown.length) made.push(element("div", "empty", "No question matches."));
    rows.replaceChildren(...made);
    const active = state.shown.indexOf(state.selected);
    if (active >= first && active < last) list.setAttribute("aria-activedescendant", `row-${active}`);
    else list.removeAttribute("aria-activedescendant");
  }
  function select(place) {
    state.selected = place;
    const position = state.shown.indexOf(place);
    if (position >= 0) {
      const top = position * ROW;
      if (top < list.scrollTop) list.scrollTop = top;
      else if (top + ROW > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW - list.clientHeight;
    }
    drawRows();
    drawDetail();
  }
  function move(steps) {
    if (!state.shown.length) return;
    const position = state.shown.indexOf(state.selected);
    select(state.shown[Math.min(state.shown.length - 1, Math.max(0, position + steps))]);
  }

  // --- one question

  function drawDetail() {
    const place = state.selected;
    if (place < 0) {
      detail.replaceChildren(element("p", "note", "Nothing is selected."));
      return;
    }
    const q = questions[place], head = element("div", "detail-head");
    head.append(element("span", "id", q[ID]));
    if (data.datasets[q[DATASET]]) head.append(element("span", "data", data.datasets[q[DATASET]]));
    data.runs.forEach((name, run) => {
      const made = element("span", "of-run");
      if (data.runs.length > 1) made.append(element("span", "one-line", name));
      made.append(badge(place, run));
      head.append(made);
    });
    head.append(element("span", "spacer"), steps());
    const parts = [head];
    if (q[QUESTION] !== undefined) parts.push(element("p", "text question-text", q[QUESTION] || "(no text)"));
    else {
      const note = element("p", "note", "The text is not in the page: give its file with ");
      note.append(element("code", "", "--questions"), document.createTextNode("."));
      parts.push(note);
    }
    parts.push(options(place));
    if (q[PASSAGE]) parts.push(passage(q));
    const values = (q[VALUES] ?? []).map((value, column) => [data.columns[column], value]).filter(([, value]) => value !== "");
    if (values.length) parts.push(valueList(values));
    detail.replaceChildren(...parts);
  }
  function steps() {
    const made = element("span", "step");
    for (const [label, by] of [["Previous", -1], ["Next", 1]]) {
      const button = element("button", "", label);
      button.type = "button";
      button.addEventListener("click", () => move(by));
      made.append(button);
    }
    return made;
  }
  function options(place) {
    const q = questions[place], made = element("ol", "options"), number = prediction(place)[PROBABILITIES].length;
    const chosen = prediction(place)[RANKING][0];
    for (let index = 0; index < number; index += 1) {
      const letter = LETTERS[index], isAnswer = q[ANSWER] === index, isMistake = letter === chosen && q[ANSWER] >= 0 && !isAnswer;
      const option = element("li", `option${isAnswer ? " answer" : isMistake ? " mistake" : ""}`), tags = element("span", "tags");
      const text = q[OPTIONS] === undefined ? "" : q[OPTIONS][index];
      option.append(element("span", "letter", letter), element("span", "text", text || (q[OPTIONS] ? "(blank)" : "")), tags);
      if (isAnswer) tags.append(element("span", "right", "\u2713 right answer"));
      if (letter === chosen) tags.append(element("span", isMistake ? "wrong" : "chosen", isMistake ? "\u2717 ranked first" : "ranked first"));
      option.append(bars(place, index));
      made.append(option);
    }
    return made;
  }
  function bars(place, index) {
    const made = element("div", "bars");
    data.runs.forEach((name, run) => {
      const share = prediction(place, run)[PROBABILITIES][index], line = element("div", "bar-line");
      if (data.runs.length > 1) {
        line.classList.add("named");
        line.append(element("span", "one-line", name));
      }
      const track = element("div", "bar-track"), fill = element("div", `bar-fill s${run % 6}`);
      fill.style.width = `${100 * (share ?? 0)}%`;
      track.append(fill);
      line.append(track, element("span", "value", share === null ? "no score" : percent(share)));
      made.append(line);
    });
    return made;
  }
  function valueList(values) {
    const made = element("div", "values");
    for (const [name, value] of values) {
      const pair = element("span", "", "");
      pair.append(element("span", "", `${name}: `), element("span", "data", value));
      made.append(pair);
    }
    return made;
  }

  // --- the passage, with the words that it shares with options and question

  const CJK = "\\u3040-\\u30ff\\u3400-\\u4dbf\\u4e00-\\u9fff\\uac00-\\ud7af";
  const WORD = new RegExp(`[${CJK}]+|(?:(?![${CJK}])[\\p{L}\\p{N}])+`, "gu"), IS_CJK = new RegExp(`^[${CJK}]`, "u");
  // Chinese and Japanese are written without spaces: two characters together count as a word.
  function wordsOf(texts) {
    const words = new Set();
    for (const [word] of texts.join("\n").toLowerCase().matchAll(WORD)) {
      if (!IS_CJK.test(word)) {
        if (!STOP.has(word) && (word.length > 2 || /\p{N}/u.test(word))) words.add(stem(word));
      } else for (let start = 0; start + 2 <= word.length; start += 1) words.add(word.slice(start, start + 2));
    }
    return words;
  }
  const stem = (word) => (word.length > 4 && /[^s]s$/.test(word) ? word.slice(0, -1) : word);
  function marked(text, ofOptions, ofQuestion) {
    const pieces = [];
    const add = (piece, kind) => {
      const last = pieces[pieces.length - 1];
      if (last && last[1] === kind) last[0] += piece;
      else pieces.push([piece, kind]);
    };
    const kindOf = (word) => (ofOptions.has(word) ? "of-options" : ofQuestion.has(word) ? "of-question" : "");
    let end = 0;
    for (const match of text.matchAll(WORD)) {
      const word = match[0];
      add(text.slice(end, match.index), "");
      end = match.index + word.length;
      if (!IS_CJK.test(word)) {
        add(word, kindOf(stem(word.toLowerCase())));
        continue;
      }
      for (let place = 0; place < word.length; place += 1) {
        const kinds = [word.slice(Math.max(0, place - 1), place + 1), word.slice(place, place + 2)].filter((pair) => pair.length === 2).map(kindOf);
        add(word[place], kinds.includes("of-options") ? "of-options" : kinds.includes("of-question") ? "of-question" : "");
      }
    }
    add(text.slice(end), "");
    return pieces.map(([piece, kind]) => (kind ? element("mark", kind, piece) : document.createTextNode(piece)));
  }
  function passage(q) {
    const made = element("section", "passage"), text = element("div", "text");
    text.append(...marked(q[PASSAGE], wordsOf(q[OPTIONS]), wordsOf([q[QUESTION]])));
    made.append(element("h3", "", "Passage"), text);
    const cut = q[LENGTH] > data.passage_limit ? `Cut to ${count(data.passage_limit)} of ${count(q[LENGTH])} characters. ` : "";
    const note = element("p", "note", `${cut}Marked: `);
    note.append(element("mark", "of-options", "words of the options"), document.createTextNode(", "), element("mark", "of-question", "words of the question"), document.createTextNode("."));
    made.append(note);
    return made;
  }

  // --- the most certain mistakes

  function drawMistakes() {
    const target = at("mistake-list");
    if (!target) return;
    target.replaceChildren(...data.mistakes[state.run].map((place) => {
      const q = questions[place], item = element("li", ""), button = element("button", "");
      button.type = "button";
      const letters = `${prediction(place)[RANKING][0]} instead of ${LETTERS[q[ANSWER]]}`;
      button.append(element("span", "p", confidence(place).toFixed(3)), element("span", "one-line", q[QUESTION] || q[ID]), element("span", "letters", letters));
      button.addEventListener("click", () => show(place));
      item.append(button);
      return item;
    }));
    at("mistakes-of").textContent = data.runs.length > 1 ? `Run: ${data.runs[state.run]}. ` : "";
    at("no-mistakes").hidden = data.mistakes[state.run].length > 0;
  }
  function show(place) {
    resetFilters();
    update();
    select(place);
    at("questions").scrollIntoView();
    list.focus({ preventScroll: true });
  }

  // --- controls

  function addOption(target, value, text) {
    const option = element("option", "", text);
    option.value = value;
    target.append(option);
  }
  function resetFilters() {
    Object.assign(state, { filter: "all", change: "", search: "" });
    at("search").value = "";
    at("change").value = "";
    for (const column of state.columns.keys()) state.columns.set(column, "");
    for (const chosen of document.querySelectorAll("#column-choices select")) chosen.value = "";
  }
  function buildFilters() {
    const scored = questions.some((q) => q[ANSWER] >= 0);
    for (const [name, label] of FILTERS) {
      if (!scored && (name === "right" || name === "wrong")) continue;
      const button = element("button", "", label);
      button.type = "button";
      button.dataset.filter = name;
      if (name === "uncertain") button.title = `The two best options are less than ${CLOSE} apart`;
      if (name === "wrong") button.title = "Another option is ranked first, or ties with the right one";
      button.append(element("span", "number", ""));
      button.addEventListener("click", () => { state.filter = name; update(); });
      at("filters").append(button);
    }
  }
  function buildRuns() {
    const several = data.runs.length > 1, scored = questions.some((q) => q[ANSWER] >= 0);
    at("run-choice").hidden = !several;
    at("change-choice").hidden = !several || !scored;
    data.runs.forEach((name, run) => addOption(at("run"), String(run), name));
    addOption(at("change"), "", "all questions");
    addOption(at("change"), "any", "right in some runs only");
    data.runs.forEach((first, a) => data.runs.forEach((second, b) => {
      if (a !== b) addOption(at("change"), `${a},${b}`, `right: ${second}, not right: ${first}`);
    }));
    at("run").addEventListener("change", () => { state.run = Number(at("run").value); drawMistakes(); update(); });
    at("change").addEventListener("change", () => { state.change = at("change").value; update(); });
  }
  function buildColumns() {
    data.columns.slice(0, SELECTS).forEach((name, column) => {
      const label = element("label", "", `${name} `), chosen = element("select", "");
      const values = [...new Set(questions.map((q) => (q[VALUES] ?? [])[column] ?? ""))].filter(Boolean).sort();
      addOption(chosen, "", "all");
      values.forEach((value) => addOption(chosen, value, value));
      state.columns.set(column, "");
      chosen.addEventListener("change", () => { state.columns.set(column, chosen.value); update(); });
      label.append(chosen);
      at("column-choices").append(label);
    });
  }
  function onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = ["INPUT", "SELECT", "TEXTAREA"].includes(event.target.tagName);
    if (event.key === "/" && !typing) {
      event.preventDefault();
      at("search").focus();
      return;
    }
    if (event.key === "Escape" && event.target === at("search")) {
      list.focus();
      return;
    }
    if (typing) return;
    const page = Math.max(1, Math.floor(list.clientHeight / ROW) - 1), all = state.shown.length;
    const inList = event.target === list ? { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -all, End: all } : {};
    const by = { ...inList, j: 1, k: -1 }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    move(by);
  }
  let waiting = 0;
  at("search").addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => { state.search = at("search").value; update(); }, 120);
  });
  at("reset").addEventListener("click", () => { resetFilters(); update(); });
  for (const button of document.querySelectorAll("[data-change]")) {
    button.addEventListener("click", () => {
      resetFilters();
      state.change = button.dataset.change;
      at("change").value = state.change;
      update();
      at("questions").scrollIntoView();
    });
  }
  list.addEventListener("scroll", drawRows, { passive: true });
  window.addEventListener("resize", drawRows);
  document.addEventListener("keydown", onKey);
  buildFilters();
  buildRuns();
  buildColumns();
  drawMistakes();
  update();
  document.documentElement.dataset.ready = "true";
})();
