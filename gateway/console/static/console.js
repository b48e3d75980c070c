"use strict";
// Forms speak to the admin API: what a form does is what the API does, decided and audited there.
(() => {
  const csrf = document.querySelector('meta[name="oncegate-csrf"]')?.content ?? "";

  function say(form, text, good) {
    const line = form.querySelector(".message");
    if (line) { line.textContent = text; line.className = "message " + (good ? "good" : "bad"); }
  }

  // numbers in raw JSON stay as they were typed: they are not read and written again
  function bodyOf(form) {
    const members = [];
    for (const field of form.elements) {
      if (!field.name || field.disabled) continue;
      if (field.dataset.raw !== undefined) {
        if (!field.value.trim()) continue;
        JSON.parse(field.value);
        members.push(JSON.stringify(field.name) + ":" + field.value);
      } else if (field.type === "checkbox") {
        members.push(JSON.stringify(field.name) + ":" + field.checked);
      } else if (field.type === "number") {
        if (field.value !== "") members.push(JSON.stringify(field.name) + ":" + Number(field.value));
      } else if (field.value !== "" || field.dataset.always !== undefined) {
        members.push(JSON.stringify(field.name) + ":" + JSON.stringify(field.value));
      }
    }
    return "{" + members.join(",") + "}";
  }

  async function send(form, submitter) {
    const button = submitter ?? form.querySelector("button");
    const url = submitter?.dataset.api ?? form.dataset.api;
    let body;
    try { body = bodyOf(form); } catch { say(form, "expected JSON: see the field", false); return; }
    button.disabled = true;
    try {
      const answer = await fetch(url, {
        method: "POST", body, credentials: "same-origin",
        headers: {"content-type": "application/json", "x-oncegate-csrf": csrf},
      });
      const text = await answer.text();
      const said = text ? JSON.parse(text) : {};
      if (!answer.ok) { say(form, said.detail ?? said.error?.message ?? "refused", false); return; }
      if (form.dataset.show !== undefined) {
        form.querySelector("[data-result]").textContent = form.dataset.show ? said[form.dataset.show] : JSON.stringify(said, null, 2);
        say(form, "done", true);
        return;
      }
      say(form, "done", true);
      if (said.location) location.assign(said.location);
      else if (form.dataset.then) location.assign(form.dataset.then.replace("{id}", encodeURIComponent(said.id ?? "")));
      else location.reload();
    } catch {
      say(form, "the gateway did not answer", false);
    } finally {
      button.disabled = false;
    }
  }

  document.addEventListener("submit", (event) => {
    if (event.target.dataset.api === undefined) return;
    event.preventDefault();
    send(event.target, event.submitter);
  });

  function draw() {
    for (const place of document.querySelectorAll(".chart[data-series]:not([data-drawn])")) {
      place.dataset.drawn = "";
      const given = JSON.parse(place.dataset.series);
      const style = getComputedStyle(document.documentElement);
      const colour = (name) => style.getPropertyValue(name).trim();
      const axis = {stroke: colour("--soft"), grid: {stroke: colour("--line"), width: 1}};
      // times are UTC here as on every page
      const hours = {...axis, values: (_, times) => times.map((time) => new Date(1000 * time).toISOString().slice(11, 16))};
      new uPlot({
        width: Math.max(280, place.clientWidth), height: 190,
        series: [{label: "time"}, ...given.labels.map((label, n) => ({label, stroke: colour("--line-" + (n % 3 + 1)), width: 2}))],
        axes: [hours, axis], legend: {show: given.labels.length > 1, live: false},
        tzDate: (time) => uPlot.tzDate(new Date(1000 * time), "Etc/UTC"),
      }, given.data, place);
    }
  }

  function stale() {
    const line = document.querySelector("#stale");
    if (line) line.textContent = "This page does not follow any more. Load it again to see how things stand.";
  }

  // the session is over: the page asked for anew leads to the login
  document.addEventListener("htmx:responseError", (event) => {
    if (event.detail.xhr.status === 401) location.reload();
  });

  document.addEventListener("DOMContentLoaded", draw);
  document.addEventListener("htmx:afterSwap", draw);
  document.addEventListener("DOMContentLoaded", () => {
    if (!document.querySelector("[data-live]")) return;
    const source = new EventSource("/events");
    const look = () => {
      const busy = document.activeElement?.closest("#live input, #live textarea, #live select");
      if (!busy) htmx.trigger(document.body, "live");
    };
    source.addEventListener("changed", look);
    // nobody is let in any more, or this gateway is gone: what stands here is old, and says so
    source.addEventListener("error", () => { if (source.readyState === EventSource.CLOSED) { stale(); look(); } });
  });
})();
