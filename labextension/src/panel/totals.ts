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
    this._models = new Groups(_around, trans.__('By model'), ({ name }) => name);
    this._cells = new Groups(
      _around,
      trans.__('By cell'),
      cell => this._cellName(cell),
      ({ name, cell_id: id }) => {
        _around.jump({ id, line: name });
      }
    );
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
      const ids = document.cells();
      this._numbers = new Map(ids.map((id, place) => [id, place + 1]));
      this._cells.show(inOrder(state.cells, this._numbers), ids.join());
    }
  }

  /** A cell by its first line, and by its number: many begin alike. */
  private _cellName({ name, cell_id: id }: Group): string {
    const { trans } = this._around;
    if (!name) {
      return trans.__('outside of cells');
    }
    const number = id === null ? undefined : this._numbers.get(id);
    return number === undefined ? name : trans.__('cell %1: %2', number, name);
  }

  private _numbers: ReadonlyMap<string, number> = new Map();
  private readonly _ever = element('span');
  private readonly _figures: ((session: Sums, total: Sums) => void)[] = [];
  private readonly _models: Groups;
  private readonly _cells: Groups;
}

/** Sums as a table that scrolls when it is long: names stand above figures, which need the room. */
class Groups {
  /**
   * @param _around - how amounts are told
   * @param title - says what they are sums of
   * @param _name - the name of a group
   * @param _lead - leads to what a group is of, where it has a name of its own
   */
  constructor(
    private readonly _around: Surroundings,
    title: string,
    private readonly _name: (group: Group) => string,
    private readonly _lead: ((group: Group) => void) | null = null
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

  /** Show these groups; all of them anew where what their names go by is another than before. */
  show(groups: readonly Group[], namedBy = ''): void {
    this.node.hidden = groups.length === 0;
    this._rows.update(groups, `${this._around.decimals()} ${namedBy}`);
  }

  private _row({ usd, trans }: Surroundings): Row<Group> {
    const [calls, spent, saved] = [element('td'), element('td'), element('td')];
    const heading = element('th', { scope: 'rowgroup', colspan: '3' });
    let shown: Group | null = null;
    const lead = () => {
      if (shown) {
        this._lead?.(shown);
      }
    };
    const link = button('', lead, { class: 'jp-LlmMagic-link' });
    const plain = element('span', {});
    return {
      node: element(
        'tbody',
        {},
        element('tr', {}, heading),
        element('tr', {}, calls, spent, saved)
      ),
      show: group => {
        const { sums } = group;
        const name = this._name(group);
        const leads = this._lead !== null && group.name !== '';
        const named = leads ? link : plain;
        // It stays, and the focus with it, when a cell's line or number is another one.
        if (heading.firstChild !== named) {
          heading.replaceChildren(named);
        }
        write(named, name);
        named.title = leads ? trans.__('Go to %1', name) : name;
        shown = group;
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
function inOrder(groups: readonly Group[], numbers: ReadonlyMap<string, number>): Group[] {
  const placeOf = ({ cell_id: id }: Group) =>
    (id === null ? null : numbers.get(id)) ?? numbers.size + 1;
  return [...groups].sort((one, other) => placeOf(one) - placeOf(other));
}

function heads(...names: (string | Node)[]): HTMLElement {
  const cells = names.map(name => (name ? element('th', { scope: 'col' }, name) : element('td')));
  return element('thead', {}, element('tr', {}, ...cells));
}
