(() => {
  "use strict";
  const all = (selector, within = document) => Array.from(within.querySelectorAll(selector));

  // Browsers on iPhones play no data: video, so each clip becomes a blob of this page.
  const blobs = new Map();
  for (const video of all("video[src]")) {
    const bytes = Uint8Array.from(atob(video.src.split(",")[1]), (letter) => letter.charCodeAt(0));
    // The fragment makes every browser show a frame before the clip is played.
    const blob = `${URL.createObjectURL(new Blob([bytes], { type: "video/mp4" }))}#t=0.001`;
    blobs.set(video.id, blob);
    video.src = blob;
  }
  for (const video of all("video[data-same-as]")) {
    video.src = blobs.get(video.dataset.sameAs);
  }

  // Sound matters here: one clip at a time.
  document.addEventListener("play", (event) => {
    for (const video of all("video")) {
      if (video !== event.target) video.pause();
    }
  }, true);

  const links = new Map(all("nav li a").map((link) => [link.hash.slice(1), link]));
  const nearest = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      for (const [id, link] of links) {
        if (id === target.id) link.setAttribute("aria-current", "true");
        else link.removeAttribute("aria-current");
      }
    }
  }, { rootMargin: "-20% 0px -75% 0px" });
  all("main > header, main > section").forEach((part) => nearest.observe(part));

  const tree = document.querySelector(".tree");
  if (!tree) return;
  const filter = document.getElementById("ontology-filter");
  const found = document.querySelector(".filter output");
  const nodes = all("li[data-node]", tree);
  const rules = all(".legend button");
  let rule = null;

  const apply = () => {
    const words = filter.value.trim().toLowerCase();
    const filtering = words !== "" || rule !== null;
    const hits = new Set();
    for (const node of nodes) {
      node.hidden = filtering;
      const named = node.dataset.node.toLowerCase().includes(words);
      const hit = filtering && named && (rule === null || node.dataset.rule === rule);
      node.classList.toggle("hit", hit);
      if (hit) hits.add(node.dataset.node);
    }
    for (const hit of filtering ? all("li.hit", tree) : []) {
      for (let node = hit; node !== tree; node = node.parentElement) {
        if (node.tagName === "LI") node.hidden = false;
        if (node.tagName === "DETAILS" && node.parentElement !== hit) node.open = true;
      }
    }
    found.textContent = filtering ? `${hits.size} ${hits.size === 1 ? "node" : "nodes"}` : "";
  };

  filter.addEventListener("input", apply);
  filter.form.addEventListener("submit", (event) => event.preventDefault());
  for (const button of rules) {
    button.addEventListener("click", () => {
      rule = rule === button.dataset.rule ? null : button.dataset.rule;
      for (const other of rules) other.setAttribute("aria-pressed", String(other.dataset.rule === rule));
      apply();
    });
  }
  for (const button of all("[data-tree]")) {
    button.addEventListener("click", () => {
      const open = button.dataset.tree === "open";
      all("details", tree).forEach((details) => { details.open = open; });
    });
  }
})();
