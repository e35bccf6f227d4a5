import { expect, it } from 'vitest';

import { CallList } from '../src/panel/calls';
import { around, button, call, find } from './panelfakes';

const PWNED = '<img src=x onerror=pwned()>';

function list(...calls: ReturnType<typeof call>[]) {
  const given = around();
  given.session.calls = calls;
  const view = new CallList(given);
  view.update();
  return { ...given, view, rows: () => [...view.node.querySelectorAll('details details')] };
}

/** Open a row; jsdom tells of it later than browsers do. */
function open(row: Element) {
  row.setAttribute('open', '');
  row.dispatchEvent(new Event('toggle'));
}

it('shows the newest two hundred, the newest first', () => {
  const { rows } = list(...Array.from({ length: 300 }, (_, at) => call({ prompt: `call ${at}` })));

  expect(rows()).toHaveLength(200);
  expect(rows()[0].textContent).toContain('call 299');
});

it('a call that ends changes in its place and stays open', () => {
  const pending = call({ outcome: 'pending', cost: null });
  const { view, session, rows } = list(pending, call());
  const row = rows()[1];
  open(row);
  expect(row.textContent).toContain('under way');

  session.calls = [{ ...pending, outcome: 'error', error: 'no such model' }, session.calls[1]];
  view.update();

  expect(rows()[1]).toBe(row);
  expect(row.hasAttribute('open')).toBe(true);
  expect(row.textContent).toContain('failed');
  expect(row.textContent).toContain('no such model');
});

it.each([
  [{ outcome: 'live', cost: '0.01' }, 'live', '$0.01'],
  [{ outcome: 'live', cost: null }, 'live', '$?'],
  [{ outcome: 'replay', cost: '0', saved: '0.01' }, 'replayed', '$0.00'],
  [{ outcome: 'miss', cost: null }, 'not recorded', ''],
  [{ outcome: 'closed', cost: '0.002' }, 'closed early', '$0.002']
] as const)('tells %o as %s, %s', (changes, word, money) => {
  const { view } = list(call(changes));

  expect(find(view.node, '.jp-LlmMagic-call b').textContent).toBe(word);
  expect(find(view.node, '.jp-LlmMagic-number').textContent).toBe(money);
});

it('shows those that have the words, and says so when none has', () => {
  const { view, rows } = list(call({ prompt: 'a poem' }), call({ prompt: 'a list' }));
  const filter = find(view.node, 'input') as HTMLInputElement;
  const type = (text: string) => {
    filter.value = text;
    filter.dispatchEvent(new Event('input'));
    return rows().map(row => row.textContent);
  };

  expect(type('POEM')).toEqual([expect.stringContaining('a poem')]);
  expect(type('sonnet')).toEqual([]);
  expect(find(view.node, '[role=status]').textContent).toBe('No call has these words.');
});

it('leads to the cell of a call', () => {
  const { view, rows, jump } = list(call({ cell_id: 'abc', cell_line: '%%complete' }));
  open(rows()[0]);

  button(view.node, 'Go to cell').click();

  expect(jump).toHaveBeenCalledWith({ id: 'abc', line: '%%complete' });
});

it('shows what is recorded of a call, or why there is nothing', async () => {
  const { view, rows, session } = list(call({ key: 'abc', ordinal: 1 }));
  open(rows()[0]);
  const shown = find(view.node, '.jp-LlmMagic-recording');

  session.ask.mockResolvedValueOnce({ request: { model: 'm' }, response: { text: '<b>' } });
  button(view.node, 'Show recording').click();
  await expect.poll(() => shown.textContent).toContain('"text": "<b>"');
  session.ask.mockRejectedValueOnce(new Error('nothing is recorded'));
  button(view.node, 'Show recording').click();

  await expect.poll(() => shown.textContent).toBe('nothing is recorded');
  expect(session.ask).toHaveBeenCalledWith({ type: 'call', key: 'abc', ordinal: 1 });
});

it('shows markup in prompts, models and errors as text', () => {
  const { view, rows } = list(
    call({ outcome: 'error', prompt: PWNED, model: PWNED, error: PWNED, cell_line: PWNED })
  );

  open(rows()[0]);

  expect(view.node.querySelector('img')).toBeNull();
  expect(rows()[0].textContent.split(PWNED)).toHaveLength(7);
});
