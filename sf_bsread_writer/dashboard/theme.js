// Light or dark, as the system has it until the button is pressed; remembered. Not a module: it runs before anything is painted.

(() => {
  const KEY = "sf_bsread theme";
  const system = matchMedia("(prefers-color-scheme: dark)");
  let chosen = null;

  const ofSystem = () => (system.matches ? "dark" : "light");

  function apply(theme = chosen ?? ofSystem()) {
    document.documentElement.dataset.theme = theme;
    const button = document.getElementById("theme");
    if (button !== null) button.textContent = theme === "dark" ? "☀ Light" : "☾ Dark";
    document.dispatchEvent(new Event("theme"));
  }

  function change() {
    const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    chosen = next === ofSystem() ? null : next;
    try {
      if (chosen === null) localStorage.removeItem(KEY);
      else localStorage.setItem(KEY, chosen);
    } catch {} // a browser may forbid storage; the page does without
    apply();
  }

  try {
    chosen = localStorage.getItem(KEY);
  } catch {}
  apply();
  system.addEventListener("change", () => apply());
  window.addEventListener("beforeprint", () => apply("light")); // paper is
  window.addEventListener("afterprint", () => apply());
  document.addEventListener("DOMContentLoaded", () => {
    apply();
    document.getElementById("theme").addEventListener("click", change);
  });
})();
