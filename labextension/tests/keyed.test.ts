import { expect, it, vi } from 'vitest';

import { KeyedList } from '../src/panel/keyed';

interface Item {
  key: string;
  text: string;
}

function list() {
  const parent = document.createElement('div');
  const show = vi.fn();
  const keyed = new KeyedList<Item>(
    parent,
    item => item.key,
    () => {
      const node = document.createElement('p');
      return {
        node,
        show: item => {
          show(item.key);
          node.textContent = item.text;
        }
      };
    }
  );
  return { parent, show, keyed };
}

const [one, two, three] = ['1', '2', '3'].map(key => ({ key, text: `text ${key}` }));

it('shows items in their order, and only those', () => {
  const { parent, keyed } = list();

  for (const items of [[one, two], [three, one, two], [two, three], [three, two, one], []]) {
    keyed.update(items);

    expect([...parent.children].map(node => node.textContent)).toEqual(
      items.map(item => item.text)
    );
  }
});

it('shows each of several items that are alike', () => {
  const { parent, keyed } = list();
  const twin = { ...one, text: 'its twin' };

  for (const items of [[one, twin], [twin], [two, one, twin], [twin, twin, one]]) {
    keyed.update(items);

    expect([...parent.children].map(node => node.textContent)).toEqual(
      items.map(item => item.text)
    );
  }
});

it('shows all anew when what rows go by is another', () => {
  const { show, keyed } = list();
  keyed.update([one, two], 2);
  show.mockClear();

  keyed.update([one, two], 2);
  expect(show).not.toHaveBeenCalled();
  keyed.update([one, two], 3);

  expect(show.mock.calls).toEqual([['1'], ['2']]);
});

it('touches only what changed', () => {
  const { parent, show, keyed } = list();
  keyed.update([one, two]);
  const nodes = [...parent.children];
  show.mockClear();

  keyed.update([three, one, { ...two, text: 'another' }]);

  expect(show.mock.calls).toEqual([['3'], ['2']]);
  expect([...parent.children].slice(1)).toEqual(nodes);
  expect(nodes[1].textContent).toBe('another');
});
