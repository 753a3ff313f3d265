"use strict";
(() => {
  const [status, doing] = ["status", "doing"].map(id => document.getElementById(id));
  const key = part => part.getAttribute("aria-labelledby") ?? part.localName + part.className;
  const parts = page =>
    new Map([...page.querySelectorAll("header > *, main > *")].map(part => [key(part), part]));
  const shown = new Map([...parts(document)].map(([name, part]) => [name, part.outerHTML]));
  const focusable = "button, summary, [tabindex]";
  let version = status.dataset.version;

  function say(place, text) {
    if (place.textContent !== text) place.textContent = text;
  }

  function keepAsItWas(old, part) {
    const details = part.querySelectorAll("details");
    old.querySelectorAll("details").forEach((one, index) => { if (details[index]) details[index].open = one.open; });
    const tables = part.querySelectorAll("table.sortable");
    old.querySelectorAll("table.sortable").forEach((table, index) => {
      const column = [...table.tHead.rows[0].cells].findIndex(heading => heading.hasAttribute("aria-sort"));
      const heading = tables[index]?.tHead.rows[0].cells[column];
      if (heading === undefined) return;
      const order = table.tHead.rows[0].cells[column].getAttribute("aria-sort");
      while (heading.getAttribute("aria-sort") !== order) heading.querySelector("button").click();
    });
  }

  async function put(fresh, old, before) {
    const part = document.importNode(fresh, true);
    await Promise.allSettled([...part.querySelectorAll("img")].map(image => image.decode()));
    const focused = old ? [...old.querySelectorAll(focusable)].indexOf(document.activeElement) : -1;
    if (old) old.replaceWith(part);
    else if (before && before.parentElement.localName === fresh.parentElement.localName) before.after(part);
    else document.querySelector(fresh.parentElement.localName).append(part);
    part.dispatchEvent(new Event("renewed", { bubbles: true }));
    if (old) keepAsItWas(old, part);
    part.querySelectorAll(focusable)[focused]?.focus({ preventScroll: true });
    return part;
  }

  async function page() {
    const answer = await fetch("./", { cache: "no-store" });
    if (!answer.ok) throw new Error(answer.statusText);
    return answer.text();
  }

  async function renew() {
    if (document.querySelector("main > *") === null) return location.reload();
    const fresh = new DOMParser().parseFromString(await page(), "text/html");
    const [old, now] = [parts(document), parts(fresh)];
    let before = null;
    for (const [name, part] of now) {
      const stays = name === key(status) || shown.get(name) === part.outerHTML;
      before = stays ? old.get(name) : await put(part, old.get(name), before);
      shown.set(name, part.outerHTML);
    }
    for (const [name, part] of old) if (!now.has(name)) part.remove();
    document.title = fresh.title;
    version = fresh.getElementById("status")?.dataset.version ?? version;
  }

  async function end() {
    const [text, top] = [await page(), scrollY];
    source.close();
    document.open();
    document.write(text);
    document.close();
    scrollTo(0, top);
  }

  async function follow(message) {
    if (message.state === "done") return end();
    if (message.state === "stopped") source.close();
    if (message.version !== "" && message.version !== version) await renew();
    say(status, message.status);
    say(doing, message.doing);
  }

  let queue = Promise.resolve();
  const source = new EventSource("events");
  source.onmessage = event => { queue = queue.then(() => follow(JSON.parse(event.data))).catch(lost); };
  source.onerror = lost;
  function lost() {
    const again = source.readyState === EventSource.CLOSED ? "" : " Trying again.";
    say(status, `The run cannot be reached; this page shows its last known state.${again}`);
    say(doing, "");
  }
})();
