(() => {
  "use strict";
  const key = (node) => node.dataset?.key;
  const isKept = (now, next) => now && now.nodeName === next.nodeName && key(now) === key(next);

  // Makes `now` what `next` is and leaves alone what both have: scrolling, focus and players stay as they are.
  const become = (now, next) => {
    if (now.isEqualNode(next)) return;
    if (now.nodeType !== Node.ELEMENT_NODE) {
      now.data = next.data;
      return;
    }
    for (const { name } of [...now.attributes]) {
      if (!next.hasAttribute(name)) now.removeAttribute(name);
    }
    for (const { name, value } of next.attributes) {
      if (now.getAttribute(name) !== value) now.setAttribute(name, value);
    }
    becomeWithin(now, next);
  };

  const becomeWithin = (now, next) => {
    const wanted = new Set([...next.children].map(key));
    for (const child of [...now.children]) {
      if (key(child) && !wanted.has(key(child))) child.remove();
    }
    const known = new Map([...now.children].filter(key).map((child) => [key(child), child]));
    let place = now.firstChild;
    for (const child of [...next.childNodes]) {
      const kept = known.get(key(child)) ?? (isKept(place, child) ? place : null);
      if (!kept) {
        now.insertBefore(document.importNode(child, true), place);
        continue;
      }
      if (kept === place) place = place.nextSibling;
      else now.insertBefore(kept, place);
      become(kept, child);
    }
    while (place) {
      const gone = place;
      place = place.nextSibling;
      gone.remove();
    }
  };

  const waiting = new Map();
  const isPlaying = (part) => [...part.querySelectorAll("video")].some((video) => !video.paused && !video.ended);
  const show = () => {
    for (const [name, html] of waiting) {
      const part = document.getElementById(name);
      if (isPlaying(part)) continue;
      const template = document.createElement("template");
      template.innerHTML = html;
      becomeWithin(part, template.content);
      waiting.delete(name);
    }
  };

  const lost = document.getElementById("lost");
  const events = new EventSource("events");
  events.onopen = () => { lost.hidden = true; };
  events.onerror = () => { lost.hidden = false; };
  events.onmessage = ({ data }) => {
    for (const [name, html] of Object.entries(JSON.parse(data))) waiting.set(name, html);
    show();
  };

  // Sound matters here: one clip at a time.
  document.addEventListener("play", (event) => {
    for (const video of document.querySelectorAll("video")) {
      if (video !== event.target) video.pause();
    }
  }, true);
  for (const end of ["pause", "ended"]) document.addEventListener(end, show, true);
})();
