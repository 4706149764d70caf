// What makes the page quicker to use. Without it every form and link still works.
"use strict";

const root = document.documentElement;

// What nobody has searched for, wherever on the page somebody is; the next answer takes its place.
const say = (text) => {
  const said = document.createElement("strong");
  said.textContent = text;
  document.getElementById("status").replaceChildren(said);
};

// Rows as wide as the page, where the style sheet can't read proportions itself.
if (!CSS.supports("flex-grow: attr(data-ratio type(<number>), 1)")) {
  const size = (works) => works.forEach((work) => work.style.setProperty("--ratio", work.dataset.ratio));
  size(document.querySelectorAll(".work"));
  document.addEventListener("htmx:after:swap", () => size(document.querySelectorAll(".work")));
}

// Addresses without what nobody has entered.
document.addEventListener("htmx:config:request", ({ detail: { ctx } }) => {
  const body = ctx.request.body;
  if (ctx.request.method !== "GET" || !body) return;
  for (const [name, value] of [...body]) if (!value) body.delete(name);
});

// One step back for one search, however many letters it took: while somebody types, the address is changed in place.
const TYPED = "input:not([type=checkbox])";
let typedIn = null;
let submitted = false;
document.addEventListener("submit", () => { submitted = true; }, true);
document.addEventListener("htmx:before:history:update", ({ detail: { history: next, sourceElement } }) => {
  const active = document.activeElement;
  const field = sourceElement.id === "search" && active?.matches(TYPED) ? active : null;
  if ((field && field === typedIn) || next.path === location.pathname + location.search) next.type = "replace";
  typedIn = submitted ? null : field;
  submitted = false;
});

// A new search begins with the nearest.
document.addEventListener("htmx:after:swap", ({ detail: { ctx } }) => {
  if (ctx.target.id === "results") scrollTo({ top: 0, behavior: "instant" });
});

// No answer, or none with more pictures: what is there stays, so that one can try again.
document.addEventListener("htmx:error", () => say("The search is out of reach right now. Please try again."));
document.addEventListener("htmx:response:error", ({ detail: { ctx } }) => {
  if (!ctx.sourceElement.closest(".more")) return;
  Object.assign(ctx, { swap: "none", selectOOB: null });
  say("More pictures are out of reach right now. Please try again.");
});

// Whoever asked for more by keyboard goes on at the first of them.
document.addEventListener("htmx:before:swap", ({ detail: { ctx } }) => {
  const more = ctx.sourceElement.closest(".more");
  if (!more?.contains(document.activeElement)) return;
  const before = more.previousElementSibling;
  document.addEventListener("htmx:after:swap", () => before?.nextElementSibling?.querySelector("a")?.focus(), { once: true });
});

// Search by picture: chosen, dropped, or pasted.
const byPicture = document.getElementById("by-picture");
if (byPicture) {
  const chooser = byPicture.elements.file;

  const take = (file) => {
    const files = new DataTransfer();
    files.items.add(file);
    chooser.files = files.files;
    chooser.dispatchEvent(new Event("change", { bubbles: true }));
  };

  // A small one for the page, kept in this tab; the picture itself goes to the search and nowhere else.
  const preview = async (file) => {
    try {
      const bitmap = await createImageBitmap(file);
      const canvas = document.createElement("canvas");
      canvas.width = canvas.height = 80;
      const side = Math.min(bitmap.width, bitmap.height);
      const [left, top] = [(bitmap.width - side) / 2, (bitmap.height - side) / 2];
      canvas.getContext("2d").drawImage(bitmap, left, top, side, side, 0, 0, 80, 80);
      return canvas.toDataURL("image/webp", 0.7);
    } catch {
      return null;  // a kind of picture that the browser can't show
    }
  };
  const keyOf = () => new URL(location.href).searchParams.get("picture")?.slice(-64);
  const show = () => {
    const place = document.getElementById("preview");
    const source = keyOf() && sessionStorage.getItem(keyOf());
    if (place && source) { place.src = source; place.hidden = false; }
  };

  // The answer is to the picture alone: what stood in the form goes, what was entered meanwhile is searched for with it.
  const search = document.getElementById("search");
  const entered = (field) => field.type === "checkbox" ? field.checked : field.value;
  const startAnew = (before) => {
    let isMore = false;
    for (const [field, was] of before) {
      if (entered(field) !== was) isMore = true;
      else if (field.type === "checkbox") field.checked = false;
      else field.value = "";
    }
    search.elements.q.placeholder = "but …";
    if (isMore) search.requestSubmit();
  };
  // A picture that can't be used changes neither the address nor what was chosen before.
  byPicture.addEventListener("htmx:response:error", ({ detail: { ctx } }) => {
    Object.assign(ctx, { push: null, selectOOB: "#status:innerHTML" });
  });

  byPicture.addEventListener("change", (event) => {
    const [file] = chooser.files;
    if (!file) return;
    const most = Number(byPicture.dataset.mostBytes);
    const wrong = file.type && !file.type.startsWith("image/") ? "That is no picture."
      : file.size > most ? `This picture is too large: at most ${Math.floor(most / 2 ** 20)} MB.` : null;
    if (wrong) {
      event.stopImmediatePropagation();
      chooser.value = "";
      say(wrong);
      return;
    }
    say("Looking at your picture …");
    const small = preview(file);
    const before = [...search.elements].filter(({ type }) => type !== "hidden").map((field) => [field, entered(field)]);
    byPicture.addEventListener("htmx:finally:request", async ({ detail: { ctx } }) => {
      chooser.value = "";
      if (!ctx.response?.raw.ok) return;
      const key = keyOf();
      startAnew(before);
      const source = await small;
      if (key && source) sessionStorage.setItem(key, source);
      show();
    }, { once: true });
  }, true);

  const isFile = (event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragover", (event) => {
    if (!isFile(event)) return;
    event.preventDefault();
    root.classList.add("dropping");
  });
  addEventListener("dragleave", (event) => { if (!event.relatedTarget) root.classList.remove("dropping"); });
  addEventListener("drop", (event) => {
    if (!isFile(event)) return;
    event.preventDefault();
    root.classList.remove("dropping");
    if (event.dataTransfer.files.length) take(event.dataTransfer.files[0]);
  });
  addEventListener("paste", (event) => {
    const { files, types } = event.clipboardData;
    if (files.length && !types.includes("text/plain")) take(files[0]);
  });
  document.addEventListener("htmx:after:swap", show);
  show();
}
