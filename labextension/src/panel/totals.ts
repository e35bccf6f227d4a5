import { button, element, write } from '../dom';
import { count } from '../format';
import { KeyedList } from './keyed';
import type { Row } from './keyed';
import { section } from './section';
import type { View } from './section';
import type { Surroundings } from './surroundings';
import type { Group, Sums } from '../kernel/types';
import { callsMade } from './wording';

/** What was spent and saved: of this session and of all, by model and by cell. */
export class Totals implements View {
  constructor(private readonly _around: Surroundings) {
    const { trans, usd } = _around;
    const sums: [string, (sums: Sums) => string][] = [
      [trans.__('Spent'), ({ spent }) => usd(spent)],
      [trans.__('Saved'), ({ saved }) => usd(saved)],
      [trans.__('Unknown'), ({ unknown }) => count(unknown)],
      [trans.__('Live'), ({ live }) => count(live)],
      [trans.__('Replayed'), ({ replayed }) => count(replayed)]
    ];
    const body = element('tbody', {});
    for (const [name, figure] of sums) {
      const here = element('td', {});
      const ever = element('td', {});
      body.append(element('tr', {}, element('th', { scope: 'row' }, name), here, ever));
      this._figures.push((session, total) => {
        write(here, figure(session));
        write(ever, figure(total));
      });
    }
    this._models = new Groups(_around, trans.__('By model'), ({ name }) =>
      element('span', { title: name }, name)
    );
    this._cells = new Groups(_around, trans.__('By cell'), cell => this._cellName(cell));
    this.node = section(
      trans.__('Money'),
      element(
        'table',
        { class: 'jp-LlmMagic-table' },
        heads('', trans.__('This session'), this._ever),
        body
      ),
      this._models.node,
      this._cells.node
    );
  }

  readonly node: HTMLElement;

  update(): void {
    const { session, document, trans } = this._around;
    const { state } = session;
    if (state) {
      write(
        this._ever,
        // Of a notebook without a name nobody knows the sum.
        state.notebook === null ? trans.__('This folder') : trans.__('All sessions')
      );
      for (const show of this._figures) {
        show(state.session, state.total);
      }
      this._models.show(state.models);
      this._cells.show(inOrder(state.cells, document.cells()));
    }
  }

  /** A cell by its first line, which leads to it. */
  private _cellName({ name, cell_id: id }: Group): HTMLElement {
    const { jump, trans } = this._around;
    if (!name) {
      return element('span', {}, trans.__('outside of cells'));
    }
    const jumps = () => {
      jump({ id, line: name });
    };
    return button(name, jumps, { class: 'jp-LlmMagic-link', title: trans.__('Go to %1', name) });
  }

  private readonly _ever = element('span');
  private readonly _figures: ((session: Sums, total: Sums) => void)[] = [];
  private readonly _models: Groups;
  private readonly _cells: Groups;
}

/** Sums as a table that scrolls when it is long: names stand above figures, which need the room. */
class Groups {
  constructor(
    private readonly _around: Surroundings,
    title: string,
    private readonly _name: (group: Group) => HTMLElement
  ) {
    const { trans } = _around;
    const table = element(
      'table',
      { class: 'jp-LlmMagic-table jp-mod-groups' },
      element('caption', {}, title),
      heads(trans.__('Calls'), trans.__('Spent'), trans.__('Saved'))
    );
    this._rows = new KeyedList(
      table,
      ({ name, cell_id: id }) => (id === null ? `name ${name}` : `id ${id}`),
      () => this._row(_around),
      table.childElementCount
    );
    // With the focus in it the arrow keys scroll it.
    this.node = element(
      'div',
      { class: 'jp-LlmMagic-groups', tabindex: '0', role: 'group', 'aria-label': title },
      table
    );
  }

  readonly node: HTMLElement;

  show(groups: readonly Group[]): void {
    this.node.hidden = groups.length === 0;
    this._rows.update(groups, this._around.decimals());
  }

  private _row({ usd, trans }: Surroundings): Row<Group> {
    const [calls, spent, saved] = [element('td'), element('td'), element('td')];
    const heading = element('th', { scope: 'rowgroup', colspan: '3' });
    let named: string | null = null;
    return {
      node: element(
        'tbody',
        {},
        element('tr', {}, heading),
        element('tr', {}, calls, spent, saved)
      ),
      show: group => {
        const { name, sums } = group;
        // The first line of a cell may be another one now; else the focus stays.
        if (name !== named) {
          named = name;
          heading.replaceChildren(this._name(group));
        }
        write(calls, count(sums.live + sums.replayed));
        calls.title = callsMade(sums, trans);
        write(spent, sums.unknown ? `${usd(sums.spent)} + ?` : usd(sums.spent));
        spent.title = sums.unknown
          ? trans._n('%1 call of unknown cost', '%1 calls of unknown cost', sums.unknown)
          : '';
        write(saved, usd(sums.saved));
      }
    };
  }

  private readonly _rows: KeyedList<Group>;
}

/** Cells in the order of the notebook; what is not in it, or has no id, comes last. */
function inOrder(groups: readonly Group[], ids: readonly string[]): Group[] {
  const places = new Map(ids.map((id, place) => [id, place]));
  const placeOf = ({ cell_id: id }: Group) => (id === null ? null : places.get(id)) ?? ids.length;
  return [...groups].sort((one, other) => placeOf(one) - placeOf(other));
}

function heads(...names: (string | Node)[]): HTMLElement {
  const cells = names.map(name => (name ? element('th', { scope: 'col' }, name) : element('td')));
  return element('thead', {}, element('tr', {}, ...cells));
}
