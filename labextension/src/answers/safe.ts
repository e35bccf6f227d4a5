/**
 * The formatting of an answer, made anew from HTML that anybody may have written.
 *
 * Our kernel makes this HTML from Markdown, and it is harmless. But a notebook is a file: it can
 * hold anything. So the HTML is parsed into a document that does nothing, and only what is listed
 * here is built again, element by element; the rest is shown as its text. Nothing is ever written
 * out and parsed a second time, so there is no second meaning for it to have.
 */

/** An answer, ready to be put into the page. */
export interface Rebuilt {
  readonly content: DocumentFragment;
  /** The lines of the footer that stood below it, which is taken out. */
  readonly footer: readonly string[];
}

/** Longer HTML is not looked at: its plain text is shown. */
export const LONGEST = 2_000_000;
/** Deeper elements become their text; our kernel nests up to about seventy. */
const DEEPEST = 200;

const XHTML = 'http://www.w3.org/1999/xhtml';
const IGNORE = ['tex2jax_ignore', 'mathjax_ignore'];
const PROCESS = ['tex2jax_process', 'mathjax_process'];

const ELEMENTS = new Set(
  (
    'a blockquote br code del details div em h1 h2 h3 h4 h5 h6 hr li ol p pre s span strong ' +
    'summary table tbody td th thead tr ul'
  ).split(' ')
);
const CLASSES = new Set([
  ...['llm-magic-aside', 'llm-magic-choices', 'llm-magic-code', 'llm-magic-markdown'],
  // Words of program text; see llm_magic/notebook/highlighting.py.
  ...['c', 'k', 's', 'm', 'nb', 'nt', 'gd', 'gi'],
  ...IGNORE
]);
const LANGUAGE = /^language-[\w+#-]{1,40}$/;
const ALIGNMENT = /^\s*text-align:\s*(left|right|center)\s*;?\s*$/;

// Links, addresses and other people's macros, as in llm_magic/notebook/markdown.py.
const REFUSED = new RegExp(
  '\\\\(?:href|url|style|class|cssId|data|bbox|mmlToken|require|includegraphics|def|let' +
    '|(?:new|renew|provide)(?:command|environment|tagform)|usetagform|mathtoolsset|setOptions' +
    '|Declare[A-Za-z]+)(?![A-Za-z])'
);

/** Names of groups of tabs are ours, so that none can close the tabs of another answer. */
let groups = 0;

/**
 * Build an answer from its HTML.
 *
 * @returns null where there is nothing to build it from
 */
export function rebuild(html: string): Rebuilt | null {
  if (!html || html.length > LONGEST) {
    return null;
  }
  const { body } = new DOMParser().parseFromString(`<!doctype html><body>${html}`, 'text/html');
  const found = [...body.querySelectorAll('.llm-magic-footer')].at(-1);
  const footer = found ? lines(found) : [];
  found?.remove();
  const content = document.createDocumentFragment();
  new Builder().fill(content, body, 0);
  return { content, footer };
}

class Builder {
  /** Build the children of a node into another. */
  fill(into: Node, from: Node, depth: number): void {
    for (const child of from.childNodes) {
      if (child.nodeType === Node.TEXT_NODE) {
        into.appendChild(document.createTextNode(child.textContent ?? ''));
      } else if (child.nodeType === Node.ELEMENT_NODE) {
        this._add(into, child as Element, depth);
      }
    }
  }

  private _add(into: Node, from: Element, depth: number): void {
    const name = from.localName;
    if (name === 'style') {
      return; // Ours are in style/renderer.css.
    }
    if (from.namespaceURI !== XHTML || !ELEMENTS.has(name) || depth > DEEPEST) {
      into.appendChild(document.createTextNode(from.textContent));
      return;
    }
    const made = document.createElement(name);
    if (isFormula(from)) {
      made.classList.add(...PROCESS);
      made.textContent = from.textContent;
    } else {
      this._describe(made, from);
      this.fill(made, from, depth + 1);
    }
    into.appendChild(made);
  }

  /** Those of its attributes that mean something. */
  private _describe(made: HTMLElement, from: Element): void {
    for (const word of from.classList) {
      if (CLASSES.has(word) || LANGUAGE.test(word)) {
        made.classList.add(word);
      }
    }
    if (made instanceof HTMLAnchorElement) {
      const address = webAddress(from.getAttribute('href'));
      if (address !== null) {
        made.href = address;
        made.rel = 'noopener noreferrer nofollow';
        made.target = '_blank';
      }
    } else if (made instanceof HTMLDetailsElement) {
      made.open = from.hasAttribute('open');
      const group = from.getAttribute('name');
      if (group) {
        made.setAttribute('name', this._group(group));
      }
    } else if (made instanceof HTMLOListElement) {
      made.start = wholeNumber(from.getAttribute('start')) ?? 1;
    } else if (made instanceof HTMLTableCellElement) {
      const side = ALIGNMENT.exec(from.getAttribute('style') ?? '')?.[1];
      if (side) {
        made.classList.add(`jp-LlmMagic-${side}`);
      }
    }
  }

  private _group(name: string): string {
    const known = this._groups.get(name) ?? `jp-LlmMagic-${++groups}`;
    this._groups.set(name, known);
    return known;
  }

  private readonly _groups = new Map<string, string>();
}

/** An address that may be followed: http and https, and nothing that a browser would read into one. */
function webAddress(written: string | null): string | null {
  if (written === null || !/^https?:\/\//i.test(written)) {
    return null;
  }
  try {
    const { protocol, href } = new URL(written);
    return protocol === 'http:' || protocol === 'https:' ? href : null;
  } catch {
    return null;
  }
}

function wholeNumber(written: string | null): number | null {
  return written !== null && /^\d{1,9}$/.test(written) ? Number(written) : null;
}

/** Whether MathJax may typeset it: text alone, without commands that link, load or redefine. */
function isFormula(element: Element): boolean {
  return (
    PROCESS.some(word => element.classList.contains(word)) &&
    element.childElementCount === 0 &&
    !REFUSED.test(element.textContent)
  );
}

/** The text of an element, cut where it has line breaks. */
function lines(element: Element): string[] {
  const found = [''];
  for (const child of element.childNodes) {
    if (child.nodeName === 'BR') {
      found.push('');
    } else {
      found[found.length - 1] += child.textContent ?? '';
    }
  }
  return found.map(line => line.trim()).filter(line => line);
}
