const box = document.getElementById("filter"), shown = document.getElementById("shown");
const groups = [...document.querySelectorAll(".findings > details")].map((group) => ({
  group, said: (group.querySelector("summary").textContent + " " + [...group.querySelectorAll(".inside > p")].map((p) => p.textContent).join(" ")).toLowerCase(),
  lines: [...group.querySelectorAll(".places > li")].map((line) => [line, line.textContent.toLowerCase()]),
}));
function filter() {
  const wanted = box.value.trim().toLowerCase();
  let left = 0;
  for (const { group, said, lines } of groups) {
    const whole = said.includes(wanted);
    let any = whole;
    for (const [line, text] of lines) {
      const is_shown = whole || text.includes(wanted);
      line.hidden = !is_shown;
      any ||= is_shown;
    }
    group.hidden = !any;
    left += any;
  }
  shown.textContent = wanted ? `${left} of ${groups.length} groups` : "";
}
box.addEventListener("input", filter);
function openAt(hash) {
  const target = document.getElementById(hash.slice(1));
  if (target instanceof HTMLDetailsElement) target.open = true;
}
addEventListener("hashchange", () => openAt(location.hash));
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((one) => { one.open = true; }));
openAt(location.hash);
