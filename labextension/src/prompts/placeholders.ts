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
/**
 * As many characters are read for all placeholders of a cell; what comes after them has no marks.
 *
 * Each opening may be followed by a text that has to be read to its end, and then there is the next
 * opening. Nobody writes a prompt that comes near it.
 */
const MOST_READ = 100_000;

const STRING =
  '"""(?:[^\\\\]|\\\\[^])*?"""' +
  "|'''(?:[^\\\\]|\\\\[^])*?'''" +
  '|"(?!"")(?:[^"\\\\\\n]|\\\\[^])*"' +
  "|'(?!'')(?:[^'\\\\\\n]|\\\\[^])*'";
// What may hide a brace or a bracket from the search for the end: strings and comments.
const PIECES = new RegExp(
  `(?<string>${STRING})|(?<stray>["'])|(?<comment>#(?:[^\\n}]|\\}(?!\\}))*)|(?<open>[([{])|(?<close>[)\\]}])`,
  'g'
);
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
  let left = MOST_READ;
  for (let opening = text.indexOf('{{', done); opening >= 0 && left > 0;) {
    const inside = opening + 2;
    let following = inside;
    if (opening > done && text[opening - 1] === '\\') {
      done = inside;
    } else {
      const { end, read } = endOf(text, inside);
      const kind = end === null ? 'neither' : judge(text.slice(inside, end).trim());
      left -= read;
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

/** Where a placeholder ends, null where nowhere; and how much was read to find that out. */
interface Ending {
  readonly end: number | null;
  readonly read: number;
}

/** Where a placeholder may end: at the `}}` before which all brackets are closed. */
function endOf(text: string, start: number): Ending {
  // Not beyond: a quote that closes nowhere would be looked for to the end of the cell.
  const near = text.slice(start, start + LONGEST);
  const awaited: string[] = [];
  for (const piece of near.matchAll(PIECES)) {
    const { stray, open, close } = piece.groups ?? {};
    const ended = (end: number | null): Ending => ({ end, read: piece.index + 1 });
    if (stray) {
      // That it closes nowhere is known at the end of the line, or of three quotes at the end of all.
      const line = near.startsWith(stray.repeat(3), piece.index)
        ? -1
        : near.indexOf('\n', piece.index);
      return { end: null, read: line < 0 ? near.length : line };
    }
    if (open) {
      awaited.push(PARTNER[open]);
      if (awaited.length > DEEPEST) {
        return ended(null);
      }
    } else if (close && awaited.length > 0) {
      if (awaited.pop() !== close) {
        return ended(null);
      }
    } else if (close) {
      return ended(near.startsWith('}}', piece.index) ? start + piece.index : null);
    }
  }
  return { end: null, read: near.length };
}
