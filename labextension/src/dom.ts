/** What an element can hold; text is shown as it stands. */
export type Content = Node | string | null | undefined | false;

/**
 * An element with attributes and content.
 *
 * All text comes into pages through here, and as text: there is no markup in it.
 *
 * @param tag - its name
 * @param attributes - those that are null or false are left out
 */
export function element<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Record<string, string | boolean | null> = {},
  ...content: Content[]
): HTMLElementTagNameMap[Tag] {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) {
      made.setAttribute(name, value === true ? '' : value);
    }
  }
  made.append(...content.filter(part => part !== null && part !== undefined && part !== false));
  return made;
}

/** A button with a text. */
export function button(
  text: string,
  onClick: () => void,
  attributes: Record<string, string | boolean | null> = {}
): HTMLButtonElement {
  const made = element(
    'button',
    { type: 'button', class: 'jp-LlmMagic-button', ...attributes },
    text
  );
  made.addEventListener('click', onClick);
  return made;
}

/** Have an element say this; one that says it already is left alone. */
export function write(node: Element, text: string): void {
  if (node.textContent !== text) {
    node.textContent = text;
  }
}
