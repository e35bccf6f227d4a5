import { Budgets } from './budgets';
import { CallList } from './calls';
import { CassetteView } from './cassette';
import { CassetteWork } from './cassettework';
import { element } from '../dom';
import { Head } from './head';
import { Misses } from './misses';
import type { Notices } from '../notices';
import type { View } from './section';
import type { Surroundings } from './surroundings';
import { Totals } from './totals';
import { firstWords } from './wording';

/** With more of a cell's first line a notice would be too long to be seen whole. */
const LONGEST_NAME = 80;

/** All that the side panel shows of one notebook. */
export class NotebookView implements View {
  constructor(given: Omit<Surroundings, 'jump'>, notices: Pick<Notices, 'info'>) {
    this._around = {
      ...given,
      jump: cell => {
        const { document, trans } = given;
        if (!document.show(cell)) {
          const name = firstWords(cell.line ?? cell.id, LONGEST_NAME);
          notices.info(trans.__('That cell is not in the notebook any more: %1', name));
        }
      }
    };
    const work = new CassetteWork(given.session, given.document);
    this._head = new Head(this._around);
    this._sections = [
      new Totals(this._around),
      new Budgets(this._around),
      new CallList(this._around),
      new Misses(this._around),
      new CassetteView(this._around, work)
    ];
    this._body.append(...this._sections.map(({ node }) => node));
    this.node.append(this._head.node, this._body);
  }

  readonly node = element('div', { class: 'jp-LlmMagic-notebook' });

  update(): void {
    this._head.update();
    this._body.hidden = this._around.session.state === null;
    for (const section of this._sections) {
      section.update();
    }
  }

  private readonly _around: Surroundings;
  private readonly _head: Head;
  private readonly _sections: readonly View[];
  private readonly _body = element('div');
}
