"use strict";
// The page for trying a model by hand: asks which models there are, takes a drawing, a table's row
// or a list of numbers, and shows what the model answers.

const $ = (id) => document.getElementById(id);
const kPen = 0.075;          // the pen's width, as a part of the canvas
const kMostBars = 20;        // classes that are shown, the likeliest first

let token = "";
let models = [];
let model = null;

function say(text, wrong = false) {
  $("message").textContent = text;
  $("message").classList.toggle("wrong", wrong);
}

async function ask(address, body) {
  const headers = token ? { Authorization: "Bearer " + token } : {};
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const response = await fetch(address, {
    method: body === undefined ? "GET" : "POST", headers, body,
  });
  let answer = {};
  try { answer = await response.json(); } catch { /* the status says enough */ }
  if (!response.ok) {
    const error = new Error(answer.error || "the service answers with status " + response.status);
    error.status = response.status;
    throw error;
  }
  return answer;
}

// --- the choice of a model ---------------------------------------------------------------------

async function begin() {
  try {
    models = (await ask("models")).models;
  } catch (error) {
    $("work").hidden = true;
    if (error.status === 401) {
      say(token ? "The service doesn't accept this token." : "", true);
      $("token-form").hidden = false;
      $("token").focus();
    } else {
      say("The models can't be asked for: " + error.message, true);
    }
    return;
  }
  $("token-form").hidden = true;
  if (models.length === 0) {
    say("No model is loaded now. Load the page again later.", true);
    return;
  }
  $("models").replaceChildren(...models.map((each, i) => {
    const option = document.createElement("option");
    option.value = i;
    option.textContent = each.name + ", version " + each.version;
    return option;
  }));
  $("models").selectedIndex = models.length - 1;
  $("model-choice").hidden = false;
  $("work").hidden = false;
  choose();
}

function choose() {
  model = models[$("models").selectedIndex];
  say("");
  showHint("Nothing was asked yet.");
  $("image").hidden = model.kind !== "image";
  $("cells").hidden = model.columns.length === 0;
  $("line-form").hidden = model.kind === "image" || model.columns.length > 0;
  if (!$("cells").hidden) makeCells();
  $("line-hint").textContent = model.features > 0 ? "The model takes " + model.features +
    " numbers." : "";
  clearInput();
}

function makeCells() {
  $("cells").replaceChildren(...model.columns.map((name, i) => {
    const label = document.createElement("label");
    label.textContent = name;
    const input = document.createElement("input");
    input.name = "column-" + i;
    input.autocomplete = "off";
    // One line with commas fills all fields.
    input.addEventListener("paste", (event) => {
      const cells = event.clipboardData.getData("text").trim().split(/[,;\t]/);
      if (cells.length < 2) return;
      event.preventDefault();
      const inputs = $("cells").querySelectorAll("input");
      cells.forEach((cell, k) => { if (inputs[i + k]) inputs[i + k].value = cell.trim(); });
    });
    label.append(input);
    return label;
  }));
  const submit = document.createElement("button");   // so that Enter sends the form
  submit.hidden = true;
  $("cells").append(submit);
}

// --- drawing -----------------------------------------------------------------------------------

const canvas = $("canvas");
const pen = canvas.getContext("2d", { willReadFrequently: true });
let last = null;             // where the pen was, in the canvas's pixels
let cursor = { x: 140, y: 140, down: false };
let strokes = 0;

function line(from, to) {
  pen.strokeStyle = "#fff";
  pen.lineWidth = kPen * canvas.width;
  pen.lineCap = pen.lineJoin = "round";
  pen.beginPath();
  pen.moveTo(from.x, from.y);
  pen.lineTo(to.x, to.y);
  pen.stroke();
  strokes += 1;
}

function position(event) {
  const box = canvas.getBoundingClientRect();
  return { x: (event.clientX - box.left) * canvas.width / box.width,
           y: (event.clientY - box.top) * canvas.height / box.height };
}

canvas.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  canvas.setPointerCapture(event.pointerId);
  last = position(event);
  line(last, last);
});
canvas.addEventListener("pointermove", (event) => {
  if (last === null) return;
  const steps = event.getCoalescedEvents ? event.getCoalescedEvents() : [];
  for (const each of steps.length ? steps : [event]) {
    const next = position(each);
    line(last, next);
    last = next;
  }
});
for (const end of ["pointerup", "pointercancel"]) {
  canvas.addEventListener(end, () => {
    if (last === null) return;
    last = null;
    predict();
  });
}
canvas.addEventListener("keydown", (event) => {
  const moves = { ArrowLeft: [-8, 0], ArrowRight: [8, 0], ArrowUp: [0, -8], ArrowDown: [0, 8] };
  const move = moves[event.key];
  if (move) {
    const next = { x: Math.min(Math.max(cursor.x + move[0], 0), canvas.width),
                   y: Math.min(Math.max(cursor.y + move[1], 0), canvas.height) };
    if (cursor.down) line(cursor, next);
    cursor.x = next.x;
    cursor.y = next.y;
    say((cursor.down ? "Pen down" : "Pen up") + " at " + Math.round(cursor.x / 2.8) + " % from " +
        "the left, " + Math.round(cursor.y / 2.8) + " % from the top.");
  } else if (event.key === " ") {
    cursor.down = !cursor.down;
    if (cursor.down) line(cursor, cursor);
    say(cursor.down ? "The pen is down." : "The pen is up.");
  } else if (event.key === "Enter") {
    predict();
  } else if (event.key === "Escape") {
    clearInput();
  } else {
    return;
  }
  event.preventDefault();
});

// The drawing as MNIST has its digits: the ink is scaled to fit into 20 x 20 of 28 x 28 pixels, and
// its centre of mass comes to the middle. Returns the grey values from 0 to 1, row by row.
function drawnPixels(width, height) {
  const size = canvas.width;
  const ink = pen.getImageData(0, 0, size, size).data;
  let [left, top, right, bottom] = [size, size, -1, -1];
  for (let y = 0; y < size; ++y) {
    for (let x = 0; x < size; ++x) {
      if (ink[4 * (y * size + x)] < 32) continue;
      left = Math.min(left, x); right = Math.max(right, x);
      top = Math.min(top, y); bottom = Math.max(bottom, y);
    }
  }
  const small = document.createElement("canvas");
  small.width = width;
  small.height = height;
  const brush = small.getContext("2d", { willReadFrequently: true });
  brush.fillRect(0, 0, width, height);
  if (right < 0) return { pixels: new Array(width * height).fill(0), small };
  const [w, h] = [right - left + 1, bottom - top + 1];
  const scale = Math.min(width, height) * (20 / 28) / Math.max(w, h);
  let [massX, massY, mass] = [0, 0, 0];
  for (let y = top; y <= bottom; ++y) {
    for (let x = left; x <= right; ++x) {
      const value = ink[4 * (y * size + x)];
      massX += value * (x + 0.5); massY += value * (y + 0.5); mass += value;
    }
  }
  brush.imageSmoothingEnabled = true;
  brush.imageSmoothingQuality = "high";
  brush.drawImage(canvas, left, top, w, h, width / 2 - (massX / mass - left) * scale,
    height / 2 - (massY / mass - top) * scale, w * scale, h * scale);
  const data = brush.getImageData(0, 0, width, height).data;
  const pixels = [];
  for (let i = 0; i < width * height; ++i) pixels.push(data[4 * i] / 255);
  return { pixels, small };
}

function imageRow() {
  const { width, height, channels } = model.image;
  const { pixels, small } = drawnPixels(width, height);
  const preview = $("preview");
  preview.width = width;
  preview.height = height;
  preview.getContext("2d").drawImage(small, 0, 0);
  const row = [];
  for (let i = 0; i < channels; ++i) {
    for (const each of pixels) row.push(Math.round(each * 255) * model.image.scale);
  }
  return row;
}

// --- rows --------------------------------------------------------------------------------------

// A table's cell; an empty one is missing. A number only if it is written as numbers are, since a
// category may be called 007 or 1e3.
function cell(text) {
  const word = text.trim();
  if (word === "") return null;
  return String(Number(word)) === word && isFinite(word) ? Number(word) : word;
}

function enteredRow() {
  if (model.kind === "image") return strokes > 0 ? imageRow() : null;
  if (model.columns.length > 0) {
    return [...$("cells").querySelectorAll("input")].map((each) => cell(each.value));
  }
  const words = $("line").value.trim().split(/[\s,;]+/).filter((word) => word !== "");
  if (words.length === 0) return null;
  const numbers = words.map(Number);
  const wrong = numbers.findIndex((each) => !isFinite(each));
  if (wrong >= 0) throw new Error("'" + words[wrong] + "' isn't a number.");
  if (model.features > 0 && numbers.length !== model.features) {
    const given = numbers.length === 1 ? "This is 1 number" : "These are " + numbers.length + " numbers";
    throw new Error(given + "; the model takes " + model.features + ".");
  }
  return numbers;
}

function clearInput() {
  pen.fillStyle = "#000";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  strokes = 0;
  last = null;
  cursor = { x: 140, y: 140, down: false };
  $("line").value = "";
  for (const each of $("cells").querySelectorAll("input")) each.value = "";
  showHint("Nothing was asked yet.");
}

// --- answers -----------------------------------------------------------------------------------

function showHint(text) {
  const hint = document.createElement("p");
  hint.className = "hint";
  hint.textContent = text;
  $("answer").replaceChildren(hint);
}

function nameOf(index) {
  return index < model.class_names.length ? model.class_names[index] : String(index);
}

function percent(value) {
  return (100 * value).toFixed(value > 0.9995 || value < 0.0995 ? 2 : 1) + " %";
}

function bar(index, value, best) {
  const item = document.createElement("li");
  item.classList.toggle("best", best);
  const name = document.createElement("span");
  name.textContent = name.title = nameOf(index);
  const meter = document.createElement("meter");
  meter.max = 1;
  meter.value = value;
  meter.setAttribute("aria-label", "probability of " + nameOf(index));
  const number = document.createElement("span");
  number.textContent = percent(value);
  item.append(name, meter, number);
  return item;
}

function show(prediction) {
  const result = document.createElement("p");
  result.className = "result";
  const parts = [result];
  if (prediction.class !== undefined) {
    result.textContent = prediction.class_name ?? nameOf(prediction.class);
    let bars = prediction.probabilities ?? [];
    // A binary model may give the probability of its second class alone.
    if (bars.length === 1) bars = [1 - bars[0], bars[0]];
    const likeliest = bars.map((value, index) => ({ value, index }));
    if (bars.length > kMostBars) {
      likeliest.sort((a, b) => b.value - a.value);
      likeliest.length = kMostBars;
    }
    const list = document.createElement("ol");
    list.append(...likeliest.map(({ value, index }) =>
      bar(index, value, index === prediction.class)));
    parts.push(list);
  } else {
    // A regression: each output by its name.
    const outputs = Object.entries(prediction);
    result.textContent = outputs.map(([name, value]) =>
      (outputs.length > 1 ? name + ": " : "") + [value].flat().join(", ")).join("; ");
  }
  $("answer").replaceChildren(...parts);
  $("answer").scrollIntoView({ block: "nearest" });   // on a phone, it is below the input
}

let running = 0;

async function predict() {
  const number = ++running;
  try {
    const row = enteredRow();
    if (row === null) {
      say(model.kind === "image" ? "Draw something first." : "Enter a row first.");
      return;
    }
    const address = "models/" + encodeURIComponent(model.name) + "/versions/" +
      encodeURIComponent(model.version) + "/predict";
    const answer = await ask(address, JSON.stringify({ rows: [row] }));
    if (number !== running) return;   // a later one was asked meanwhile
    say("");
    show(answer.predictions[0]);
  } catch (error) {
    if (number !== running) return;
    if (error.status === 401) { begin(); return; }
    if (error.status === 404) { begin(); }   // the version has been replaced
    say(error.message, true);
  }
}

$("models").addEventListener("change", choose);
$("predict").addEventListener("click", predict);
$("clear").addEventListener("click", clearInput);
for (const id of ["cells", "line-form"]) {
  $(id).addEventListener("submit", (event) => { event.preventDefault(); predict(); });
}
$("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  token = $("token").value.trim();
  begin();
});
begin();
