import { element, write } from '../dom';
import { toCell } from './calls';
import { KeyedList } from './keyed';
import type { Row } from './keyed';
import { command, section, verbatim } from './section';
import type { View } from './section';
import type { Surroundings } from './surroundings';
import type { Call } from '../kernel/types';
import { advice, firstWords, misses } from './wording';
import type { Step } from './wording';

/** What is asked and not recorded: why, and what mends it. */
export class Misses implements View {
  constructor(private readonly _around: Surroundings) {
    const list = element('div', {});
    this._rows = new KeyedList(
      list,
      ({ id }) => id,
      () => this._row()
    );
    this.node = section(this._title, list);
    this.node.classList.add('jp-LlmMagic-misses');
  }

  readonly node: HTMLElement;

  update(): void {
    const { session, trans } = this._around;
    const found = misses(session.calls);
    this.node.hidden = found.length === 0;
    write(this._title, trans.__('Not recorded (%1)', found.length));
    this._rows.update(found);
  }

  private _row(): Row<Call> {
    const node = element('article', { class: 'jp-LlmMagic-miss' });
    return {
      node,
      show: call => {
        node.replaceChildren(...this._told(call));
      }
    };
  }

  private _told(call: Call): Node[] {
    const { trans } = this._around;
    const { reason, remedy } = advice(call.explanation ?? call.error ?? '');
    const words = firstWords(call.prompt ?? call.cell_line);
    return [
      element('p', { class: 'jp-LlmMagic-ellipsis', title: words }, element('b', {}, words)),
      verbatim(trans.__('Why'), reason),
      remedy.length > 0 && element('ol', {}, ...remedy.map(step => this._step(step))),
      element('div', { class: 'jp-LlmMagic-buttons' }, toCell(call, this._around))
    ].filter(part => part instanceof Node);
  }

  /** A command has a button that copies it; words would not run. */
  private _step({ text, runs }: Step): HTMLElement {
    return element('li', {}, ...(runs ? [command(text, this._around)] : [text]));
  }

  private readonly _title = element('span', {});
  private readonly _rows: KeyedList<Call>;
}
