/** The language of prompt cells: a line of options, and Markdown below it. */

import { Language, defineLanguageFacet, languageDataProp } from '@codemirror/language';
import { NodeType, Parser, Tree, parseMixed } from '@lezer/common';
import type { Input, ParseWrapper, PartialParse, TreeFragment } from '@lezer/common';

import { optionsOf } from './placeholders';
import type { Judge } from './placeholders';

const DATA = defineLanguageFacet();
const PROMPT = NodeType.define({
  id: 0,
  name: 'Prompt',
  top: true,
  props: [[languageDataProp, DATA]]
});
const OPTIONS = NodeType.define({ id: 1, name: 'Options' });
const BODY = NodeType.define({ id: 2, name: 'Body' });

/**
 * The language of a cell that begins with `%%complete`.
 *
 * The first line is not Markdown: `---` below it would make it a heading.
 *
 * @param markdown - parses the rest
 */
export function promptLanguage(markdown: Parser): Language {
  const wrap = parseMixed(node => (node.type === BODY ? { parser: markdown } : null));
  return new Language(DATA, new PromptParser(wrap), [], 'llm-magic-prompt');
}

class PromptParser extends Parser {
  constructor(private readonly _wrap: ParseWrapper) {
    super();
  }

  createParse(
    input: Input,
    fragments: readonly TreeFragment[],
    ranges: readonly { from: number; to: number }[]
  ): PartialParse {
    return this._wrap(new Outline(input), input, fragments, ranges);
  }
}

/** Cuts a prompt cell into its two parts. */
class Outline implements PartialParse {
  constructor(private readonly _input: Input) {}

  parsedPos = 0;
  stoppedAt: number | null = null;

  advance(): Tree {
    const end = this.stoppedAt ?? this._input.length;
    this.parsedPos = end;
    const first = Math.min(optionsOf(this._input.read(0, end))?.length ?? 0, end);
    const body = first + 1;
    const parts = [new Tree(OPTIONS, [], [], first)];
    if (body < end) {
      parts.push(new Tree(BODY, [], [], end - body));
    }
    return new Tree(PROMPT, parts, [0, body].slice(0, parts.length), end);
  }

  stopAt(position: number): void {
    this.stoppedAt = position;
  }
}

// What a literal consists of, by the names of the Python grammar.
const LITERAL = new Set([
  ...['Script', 'ExpressionStatement', 'ParenthesizedExpression', 'UnaryExpression', 'ArithOp'],
  ...['Number', 'String', 'ContinuedString', 'Boolean', 'None', 'Ellipsis'],
  ...['ArrayExpression', 'DictionaryExpression', 'SetExpression', 'TupleExpression']
]);

/**
 * What Python makes of the text between two pairs of braces.
 *
 * @param python - Lab's parser of Python
 */
export function judgeWith(python: Parser): Judge {
  return text => {
    if (!text || text.startsWith('#')) {
      return 'neither';
    }
    const tree = python.parse(text);
    const statement = tree.topNode.firstChild;
    if (statement?.name !== 'ExpressionStatement' || statement.nextSibling) {
      return 'neither';
    }
    let kind: ReturnType<Judge> = 'literal';
    tree.iterate({
      enter: ({ type }) => {
        if (type.isError) {
          kind = 'neither';
        } else if (kind === 'literal' && /^\w+$/.test(type.name) && !LITERAL.has(type.name)) {
          kind = 'expression';
        }
      }
    });
    return kind;
  };
}
