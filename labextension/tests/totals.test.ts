import { expect, it } from 'vitest';

import { Totals } from '../src/panel/totals';
import type { Group } from '../src/kernel/types';
import { around, find, state, sums } from './panelfakes';

function cell(id: string | null, name = '%%complete'): Group {
  return { name, cell_id: id, sums: sums({ live: 1 }) };
}

/** The sums of these cells, in a notebook that has the cells with these ids. */
function made(cells: Group[], ids: string[]) {
  const given = around();
  given.session.state = state({ cells });
  given.document.cells.mockReturnValue(ids);
  const totals = new Totals(given);
  totals.update();
  const table = find(totals.node, '[aria-label="By cell"]');
  const links = () => [...table.querySelectorAll('button')];
  const led = () => {
    given.jump.mockClear();
    links().forEach(link => {
      link.click();
    });
    return given.jump.mock.calls.map(([place]: { id: string | null }[]) => place.id);
  };
  return { ...given, totals, table, links, led };
}

it('has a row for each of the cells that begin alike, which leads to that cell', () => {
  const { links, jump } = made([cell('a'), cell('b'), cell(null)], ['a', 'b']);

  links()[1].click();
  links()[2].click();

  expect(links().map(link => link.textContent)).toEqual([
    'cell 1: %%complete',
    'cell 2: %%complete',
    '%%complete'
  ]);
  expect(jump.mock.calls).toEqual([
    [{ id: 'b', line: '%%complete' }],
    [{ id: null, line: '%%complete' }]
  ]);
});

it('has the cells in the order of the notebook, and those that are gone last', () => {
  const { totals, document, led } = made(
    [cell('gone'), cell('c'), cell(null), cell('a')],
    ['a', 'b', 'c']
  );
  expect(led()).toEqual(['a', 'c', 'gone', null]);

  document.cells.mockReturnValue(['c', 'b']);
  totals.update();

  expect(led()).toEqual(['c', 'gone', null, 'a']);
});

it('has the numbers of the cells as they are now, and none of what is not there', () => {
  const { totals, document, links } = made([cell('a'), cell('b')], ['a', 'b']);
  const [, second] = links();

  document.cells.mockReturnValue(['b']);
  totals.update();

  expect(second.textContent).toBe('cell 1: %%complete');
  expect(links().map(link => link.textContent)).toEqual(['cell 1: %%complete', '%%complete']);
});

it('names a cell by its line as it is now, and keeps the focus while that is the same', () => {
  const { totals, session, links } = made([cell('a')], ['a']);
  const [link] = links();
  const show = (group: Group) => {
    session.state = state({ cells: [group] });
    totals.update();
  };

  show({ ...cell('a'), sums: sums({ live: 2 }) });
  expect(links()[0]).toBe(link);

  show(cell('a', '%%complete --out x'));
  expect(links()).toEqual([link]);
  expect(link.textContent).toBe('cell 1: %%complete --out x');
});

it('names what no cell made, without a link', () => {
  const { table, links } = made([cell(null, '')], []);

  expect(find(table, 'tbody').textContent).toContain('outside of cells');
  expect(links()).toEqual([]);
});
