/** Prompt cells: how they begin, and the `{{ expressions }}` in them; as llm_magic/templates.py. */

/** Whether the source of a cell is a prompt. */
export function isPrompt(source: string): boolean {
  return FIRST_LINE.test(source);
}

/** The first line of a prompt cell, and the white space that IPython ignores above it. */
const FIRST_LINE = /^\s*%%complete(?=\s|$)[^\n]*/;

/** The first line of a prompt cell with its options; null in another cell. */
export function optionsOf(source: string): string | null {
  return FIRST_LINE.exec(source)?.[0] ?? null;
}

/** From and to of something in a text. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

/** What Python makes of a text: an expression with a name in it, a literal, or none of both. */
export type Judge = (text: string) => 'expression' | 'literal' | 'neither';

/** Longer cells have no marks: each key that people press would take seconds. */
const MOST = 50_000;
/** Bounds on the search for the end of one placeholder. */
const LONGEST = 10_000;
const DEEPEST = 200;

const STRING =
  '"""(?:[^\\\\]|\\\\[^])*?"""' +
  "|'''(?:[^\\\\]|\\\\[^])*?'''" +
  '|"(?!"")(?:[^"\\\\\\n]|\\\\[^])*"' +
  "|'(?!'')(?:[^'\\\\\\n]|\\\\[^])*'";
// What may hide a brace or a bracket from the search for the end: strings and comments.
const PIECES = `(?<string>${STRING})|(?<stray>["'])|(?<comment>#(?:[^\\n}]|\\}(?!\\}))*)|(?<open>[([{])|(?<close>[)\\]}])`;
const PARTNER: Record<string, string> = { '(': ')', '[': ']', '{': '}' };

/**
 * The expressions that a run of the cell replaces by their values.
 *
 * @param text - the whole source of a prompt cell
 * @param judge - tells what Python makes of the text between the braces
 */
export function placeholders(text: string, judge: Judge): Span[] {
  const options = optionsOf(text);
  if (options === null || text.length > MOST || /\s--raw(?=\s|$)/.test(options)) {
    return [];
  }
  const found: Span[] = [];
  let done = options.length;
  for (let opening = text.indexOf('{{', done); opening >= 0;) {
    const inside = opening + 2;
    let following = inside;
    if (opening > done && text[opening - 1] === '\\') {
      done = inside;
    } else {
      const end = endOf(text, inside);
      const kind = end === null ? 'neither' : judge(text.slice(inside, end).trim());
      if (end !== null && kind !== 'neither') {
        following = end + 2;
      }
      if (kind === 'expression') {
        found.push({ from: opening, to: following });
        done = following;
      }
    }
    opening = text.indexOf('{{', following);
  }
  return found;
}

/** Where a placeholder may end: at the `}}` before which all brackets are closed. */
function endOf(text: string, start: number): number | null {
  const pieces = new RegExp(PIECES, 'g');
  pieces.lastIndex = start;
  const awaited: string[] = [];
  for (let piece = pieces.exec(text); piece; piece = pieces.exec(text)) {
    const { stray, open, close } = piece.groups ?? {};
    if (stray || piece.index > start + LONGEST) {
      return null;
    }
    if (open) {
      awaited.push(PARTNER[open]);
      if (awaited.length > DEEPEST) {
        return null;
      }
    } else if (close && awaited.length > 0) {
      if (awaited.pop() !== close) {
        return null;
      }
    } else if (close) {
      return text.startsWith('}}', piece.index) ? piece.index : null;
    }
  }
  return null;
}
