import { expect, it } from 'vitest';

import { planNode } from '../src/planview';
import { trans } from './panelfakes';

it('shows calls in a table, as text', () => {
  const line = '%%complete <img src=x onerror=alert(1)>';
  const call = { cell: 2, line, model: 'openai/gpt-5-mini', status: 'live', told: '$0.01' };
  const plan = { notebook: 'a.ipynb', calls: [call], total: 'at most $0.01', remarks: ['why'] };

  const node = planNode(plan, trans);

  expect([...node.querySelectorAll('td')].map(cell => cell.textContent)).toEqual([
    '2',
    '$0.01',
    'openai/gpt-5-mini',
    line
  ]);
  expect([...node.querySelectorAll('p')].map(part => part.textContent)).toEqual([
    'at most $0.01',
    'why'
  ]);
  expect(node.querySelector('img')).toBeNull();
});

it('shows no table where nothing is asked', () => {
  const plan = { notebook: 'a.ipynb', calls: [], total: 'at most $0.00', remarks: [] };

  expect(planNode(plan, trans).querySelector('table')).toBeNull();
});
