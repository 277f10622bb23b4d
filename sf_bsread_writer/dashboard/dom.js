// Elements, made and changed by text alone: names and values come from anybody, and are never read as HTML.

/** The element of the page with this id. */
export const byId = (id) => document.getElementById(id);

/** A new element; attributes that are null are left out, children are elements or texts. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

/** Sets a text; one that is the same is left alone, so that a selection stays and nothing is painted anew. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Makes the children of a container those of the items, keeping those whose key is still there; they come in the items' order. */
export function keep(container, items, keyOf, make, update) {
  const known = new Map([...container.children].map((child) => [child.dataset.key, child]));
  items.forEach((item, place) => {
    const key = String(keyOf(item));
    let child = known.get(key);
    if (child === undefined) {
      child = make(item);
      child.dataset.key = key;
    }
    known.delete(key);
    update(child, item);
    if (container.children[place] !== child) container.insertBefore(child, container.children[place] ?? null);
  });
  for (const child of known.values()) child.remove();
}

/** A colour of the style sheet, as the theme has it. */
export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
