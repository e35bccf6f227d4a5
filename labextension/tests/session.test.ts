import { Signal } from '@lumino/signaling';
import { expect, it, vi } from 'vitest';

import { Session } from '../src/kernel/session';
import type { Link } from '../src/kernel/session';
import type { Calls, State } from '../src/kernel/types';
import { call, state } from './panelfakes';

function made() {
  const owner = {};
  const link = {
    isOpen: false,
    opened: new Signal<object, void>(owner),
    closed: new Signal<object, void>(owner),
    told: new Signal<object, State | Calls>(owner),
    ask: vi.fn<Link['ask']>(() => Promise.resolve(null)),
    dispose: vi.fn()
  };
  const notebook = { name: 'a', mode: 'REPLAY' as const };
  const session = new Session(link as unknown as Link, () => notebook);
  const open = (): void => {
    link.isOpen = true;
    link.opened.emit();
  };
  const asked = (): unknown[] =>
    link.ask.mock.calls.map(([{ type, ...rest }]) => [type, 'notebook' in rest && rest.notebook]);
  return { link, notebook, session, open, asked };
}

it('greets a kernel and shows what it says until it is gone', () => {
  const { link, session, open } = made();

  open();
  expect(link.ask.mock.calls).toEqual([
    [{ type: 'hello', version: 1, notebook: 'a', mode: 'REPLAY' }]
  ]);
  link.told.emit(state({ mode: 'DISABLED' }));
  expect(session.state?.mode).toBe('DISABLED');

  link.closed.emit();
  expect(session.state).toBeNull();
});

it('keeps a call in its place when it changes, and forgets all at a reset', () => {
  const { link, session } = made();
  const [one, two] = [call({ outcome: 'pending' }), call()];
  const ended = { ...one, outcome: 'live' as const };

  link.told.emit({ type: 'calls', reset: true, calls: [one, two] });
  link.told.emit({ type: 'calls', reset: false, calls: [ended] });
  expect(session.calls).toEqual([ended, two]);

  link.told.emit({ type: 'calls', reset: true, calls: [two] });
  expect(session.calls).toEqual([two]);
});

it('tells why a kernel does not speak with this page', async () => {
  const { link, session, open } = made();
  link.ask.mockRejectedValue(new Error('update llm-magic'));

  open();
  await new Promise(process.nextTick);

  expect(session.problem).toBe('update llm-magic');
});

it('shows what a kernel says that could not do all of a greeting', async () => {
  const { link, session, open } = made();
  link.ask.mockResolvedValue('a.cassette.jsonl cannot be read');

  open();
  link.told.emit(state());
  await new Promise(process.nextTick);
  const problem = session.problem;
  link.closed.emit();

  expect(problem).toBe('a.cassette.jsonl cannot be read');
  expect(session.problem).toBeNull();
});

it('asks about the notebook only once the kernel has heard all of its new names', async () => {
  const { link, notebook, session, asked } = made();
  let end = (): void => undefined;
  const ready = new Promise<void>(resolve => (end = resolve));
  notebook.name = 'b';
  const renamed = session.renamed(ready);

  const all = [
    session.ask({ type: 'save' }),
    session.ask({ type: 'verify' }),
    session.ask({ type: 'pack' }),
    session.ask({ type: 'plan' })
  ];
  void session.ask({ type: 'mode', mode: null });
  await new Promise(process.nextTick);
  expect(asked()).toEqual([['mode', false]]);

  link.ask.mockClear();
  notebook.name = 'c';
  void session.renamed(Promise.resolve());
  end();
  await Promise.all([renamed, ...all]);
  const names = asked();
  expect(names.slice(0, 2)).toEqual([
    ['renamed', 'c'],
    ['renamed', 'c']
  ]);
  expect(names.slice(2)).toEqual(['save', 'verify', 'pack', 'plan'].map(type => [type, 'c']));
});

it('asks about the notebook also where the kernel refused its new name', async () => {
  const { link, session, asked } = made();
  link.ask.mockRejectedValueOnce(new Error('not that name'));

  const renamed = session.renamed(Promise.resolve());
  const saved = session.ask({ type: 'save' });

  await expect(renamed).rejects.toThrow('not that name');
  await saved;
  expect(asked()).toEqual([
    ['renamed', 'a'],
    ['save', 'a']
  ]);
});

it('does not ask what was stopped before the kernel had heard the new name', async () => {
  const { session, asked } = made();
  const stopper = new AbortController();

  const renamed = session.renamed(Promise.resolve());
  const verified = session.ask({ type: 'verify' }, stopper.signal);
  stopper.abort();

  await expect(verified).rejects.toThrow();
  await renamed;
  expect(asked()).toEqual([['renamed', 'a']]);
});

it('says nothing any more when it is disposed', () => {
  const { link, session } = made();
  const changed = vi.fn();
  session.changed.connect(changed);
  link.dispose.mockImplementation(() => {
    link.closed.emit();
  });

  session.dispose();

  expect(changed).not.toHaveBeenCalled();
});
