// Basic checks of accessibility, run inside the page: a language, a title, a heading, and a name for each control.

/** What lacks something, in words; runs in the browser, so it uses nothing from outside. */
export function nameless() {
  const wrong = [];
  if (!document.documentElement.lang) wrong.push("<html> has no lang");
  if (!document.title.trim()) wrong.push("the page has no title");
  if (!document.querySelector("h1")) wrong.push("the page has no h1");
  if (document.querySelectorAll("main").length !== 1) wrong.push("the page does not have exactly one <main>");
  const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
  if (new Set(ids).size !== ids.length) wrong.push("an id is used twice");
  for (const control of document.querySelectorAll("input, textarea, select, button, a[href], [role=button]")) {
    const labels = "labels" in control && control.labels ? [...control.labels] : [];
    const own = control.matches("button, a, [role=button]") ? control.textContent : "";
    const names = [control.getAttribute("aria-label"), own, ...labels.map((label) => label.textContent)];
    if (!names.some((name) => name?.trim())) wrong.push(control.outerHTML.slice(0, 80));
  }
  for (const image of document.querySelectorAll("img:not([alt])")) wrong.push(image.outerHTML.slice(0, 80));
  return wrong;
}
