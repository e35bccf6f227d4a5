import { describe, expect, it } from 'vitest';

import { usd } from '../src/format';
import { Budgets } from '../src/panel/budgets';
import type { Budget } from '../src/kernel/types';
import { around, button, find, state } from './panelfakes';

const BUDGET: Budget = {
  per: 'session',
  limit: '1',
  settled: '0.5',
  reserved: '0',
  left: '0.5',
  origin: 'this session',
  ceiling: false
};

function budgets(...set: Partial<Budget>[]) {
  const given = around();
  given.session.state = state({ budgets: set.map(changes => ({ ...BUDGET, ...changes })) });
  const view = new Budgets(given);
  view.update();
  const field = find(view.node, 'input') as HTMLInputElement;
  return Object.assign(given, {
    view,
    node: view.node,
    field,
    type: (text: string) => {
      field.value = text;
      field.dispatchEvent(new Event('input'));
    },
    submit: async () => {
      find(view.node, 'form').dispatchEvent(new Event('submit', { cancelable: true }));
      await Promise.resolve();
    },
    said: (role: string) => find(view.node, `[role=${role}]`).textContent
  });
}

it.each([
  ['0.5', '50', 'fine'],
  ['0.8', '80', 'warning'],
  ['1', '100', 'error']
])('of a dollar %s are %s percent used: %s', (settled, percent, level) => {
  const { node } = budgets({ settled });

  const meter = find(node, '[role=meter]');
  expect(meter.getAttribute('aria-valuenow')).toBe(percent);
  expect(meter.dataset.level).toBe(level);
});

it('takes what is set aside for no more than that', () => {
  const { node } = budgets({ settled: '0.1', reserved: '0.9', left: '0' });

  const meter = find(node, '[role=meter]');
  expect(meter.dataset.level).toBe('fine');
  expect(meter.getAttribute('aria-valuetext')).toBe('$0.10 of $1.00, $0.90 set aside');
});

it('has a bar for each of two blocks, one in the other', () => {
  const block = { per: 'block', origin: 'with budget()' };
  const { node } = budgets({ ...block, limit: '1' }, { ...block, limit: '0.5' });

  const told = [...node.querySelectorAll('[role=meter]')].map(one =>
    one.getAttribute('aria-valuetext')
  );
  expect(told).toEqual(['$0.50 of $1.00', '$0.50 of $0.50']);
});

it('shows amounts anew when people set other decimals', () => {
  const given = budgets({});
  given.decimals.mockReturnValue(4);
  given.usd = amount => usd(amount, 4);

  given.view.update();

  const meter = find(given.node, '[role=meter]');
  expect(meter.getAttribute('aria-valuetext')).toBe('$0.5000 of $1.0000');
});

it('says that a ceiling can only be lowered, and where it was set', () => {
  const { node } = budgets({ ceiling: true, origin: 'LLM_MAGIC_BUDGET', reserved: '0.1' });

  expect(node.textContent).toContain('$0.50 of $1.00, $0.10 set aside');
  expect(node.textContent).toContain('set in LLM_MAGIC_BUDGET · can only be lowered here');
});

it.each(['call', 'cell'])('a budget per %s has no bar while nothing adds up', per => {
  const { node } = budgets({ per, settled: '0' });

  expect(find(node, '[role=meter]').hidden).toBe(true);
  expect(node.textContent).toContain('at most $1.00');
});

it('a budget per run of a cell has a bar while that run spends', () => {
  const { node } = budgets({ per: 'cell' });

  expect(find(node, '[role=meter]').getAttribute('aria-valuetext')).toBe('$0.50 of $1.00');
});

describe('the editor', () => {
  it('says at once what is no amount, and asks nothing', async () => {
    const { type, submit, said, field, session } = budgets();

    type('a lot');
    await submit();

    expect(said('alert')).toBe('Type an amount in USD, such as 0.50');
    expect(field.getAttribute('aria-invalid')).toBe('true');
    expect(session.ask).not.toHaveBeenCalled();
    type('0.5');
    expect(said('alert')).toBe('');
    expect(field.getAttribute('aria-invalid')).toBe('false');
  });

  it('sets what was typed and takes it away again', async () => {
    const { node, type, submit, said, session, field } = budgets({ per: 'day' });
    (find(node, 'select') as HTMLSelectElement).value = 'day';

    type('0.5');
    await submit();
    await Promise.resolve();
    button(node, 'Remove').click();

    expect(field.value).toBe('');
    expect(session.ask.mock.calls.map(([asked]) => asked)).toEqual([
      { type: 'budget', per: 'day', usd: '0.5' },
      { type: 'budget', per: 'day', usd: null }
    ]);
    await expect.poll(() => said('status')).toContain('Removed: per day');
  });

  it.each([
    ['is a ceiling', [{}], 'Removed: per session'],
    ['was set', [], 'None was set: per session'],
    ['was set but a ceiling', [{ ceiling: true }], 'None was set: per session']
  ])('says of a removal where nothing %s', async (_, set, told) => {
    const { node, said } = budgets(...set);

    button(node, 'Remove').click();

    await expect.poll(() => said('status')).toBe(told);
  });

  it('tells no old success beside a new mistake', async () => {
    const { type, submit, said } = budgets();
    type('0.5');
    await submit();
    await expect.poll(() => said('status')).toBe('Set: $0.50 per session');

    await submit();

    expect(said('alert')).toBe('Type an amount in USD, such as 0.50');
    expect(said('status')).toBe('');
  });

  it('shows why the kernel refuses', async () => {
    const { type, submit, said, session, field } = budgets();
    session.ask.mockRejectedValueOnce(new Error('$5.00 is above the ceiling'));

    type('5');
    await submit();

    await expect.poll(() => said('alert')).toBe('$5.00 is above the ceiling');
    expect(field.value).toBe('5');
  });
});
