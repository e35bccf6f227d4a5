import { expect, it, vi } from 'vitest';

import { NotebookView } from '../src/panel/notebookview';
import type { State } from '../src/kernel/types';
import { around, button, call, find, state, sums } from './panelfakes';

const TOLD = 'not here\n  to mend it: %llm mode FALLBACK, run this cell, %llm cassette save';

function view(changes: Partial<State> | null, ...calls: ReturnType<typeof call>[]) {
  const given = around();
  given.session.state = changes === null ? null : state(changes);
  given.session.calls = calls;
  const notices = { info: vi.fn() };
  const made = new NotebookView(given, notices);
  made.update();
  return { ...given, notices, made, node: made.node };
}

it('says how to begin where the kernel has not loaded llm-magic', () => {
  const { node, copy } = view(null);

  button(find(node, 'header'), 'Copy').click();

  expect(find(node, 'header').textContent).toContain('llm-magic is not loaded here yet.');
  expect(copy).toHaveBeenCalledWith('%load_ext llm_magic');
  expect(find(node, '.jp-LlmMagic-section').parentElement?.hidden).toBe(true);
});

it('tells the mode, why it is imposed, and what is wrong', () => {
  const { node } = view({
    mode: 'REPLAY',
    pinned: { mode: 'REPLAY', reason: 'LLM_MAGIC_MODE says so' },
    problem: 'the ledger cannot be read'
  });

  expect(node.textContent).toContain('REPLAY · answers come from recordings only');
  expect(node.textContent).toContain('Only REPLAY here: LLM_MAGIC_MODE says so');
  expect(find(node, '[role=alert]').textContent).toBe('the ledger cannot be read');
});

it('says why a kernel that has loaded llm-magic does not speak', () => {
  const given = around();
  Object.assign(given.session, { state: null, problem: 'this kernel speaks version 2' });
  const made = new NotebookView(given, { info: vi.fn() });

  made.update();

  expect(find(made.node, '[role=alert]').textContent).toBe('this kernel speaks version 2');
  expect(button(made.node, 'Copy').closest('[hidden]')).not.toBeNull();
});

it.each([
  ['analysis', 'All sessions'],
  [null, 'This folder']
])('names the second sum of %s %s', (notebook, title) => {
  const { node } = view({ notebook });

  expect(find(node, 'thead').textContent).toBe(`This session${title}`);
});

it('adds up by model and by cell', () => {
  const spent = sums({ spent: '0.5', unknown: 1, live: 2 });
  const { node } = view({
    session: sums({ spent: '0.5', live: 2 }),
    total: sums({ spent: '12' }),
    models: [{ name: 'openai/gpt-5-mini', cell_id: null, sums: spent }],
    cells: [{ name: '%%complete', cell_id: 'a', sums: sums({ saved: '0.25', replayed: 3 }) }]
  });

  const cells = (selector: string) =>
    [...node.querySelectorAll(selector)].map(part =>
      [...part.querySelectorAll('th, td')].map(cell => cell.textContent)
    );
  expect(cells('tr')).toContainEqual(['Spent', '$0.50', '$12.00']);
  expect(cells('tbody')).toContainEqual(['openai/gpt-5-mini', '2', '$0.50 + ?', '$0.00']);
  expect(cells('tbody')).toContainEqual(['%%complete', '3', '$0.00', '$0.25']);
});

it('notifies people of a cell that is not there any more, wherever they scrolled to', () => {
  const missed = call({ outcome: 'miss', cell_line: '%%complete --out a' });
  const { node, document, notices } = view({}, missed);
  const go = button(find(node, '.jp-LlmMagic-misses'), 'Go to cell');
  go.click();
  expect(notices.info).not.toHaveBeenCalled();

  document.show.mockReturnValue(false);
  go.click();

  expect(notices.info.mock.calls).toEqual([
    ['That cell is not in the notebook any more: %%complete --out a']
  ]);
});

it('shows a miss with what mends it until it is answered', () => {
  const miss = call({ outcome: 'miss', explanation: TOLD });
  const { made, node, copy, session } = view({}, miss);
  const section = find(node, '.jp-LlmMagic-misses');

  const copies = [...section.querySelectorAll<HTMLElement>('li button')];
  copies.forEach(one => {
    one.click();
  });

  expect(find(section, 'h3').textContent).toBe('Not recorded (1)');
  expect(find(section, 'pre').textContent).toBe('not here');
  expect(find(section, 'ol').children[1].textContent).toBe('run this cell');
  expect(copy.mock.calls).toEqual([['%llm mode FALLBACK'], ['%llm cassette save']]);
  expect(copies.map(one => one.textContent)).toEqual(['Copied', 'Copied']);
  session.calls = [...session.calls, { ...miss, id: 'later', outcome: 'live' }];
  made.update();
  expect(section.hidden).toBe(true);
});
