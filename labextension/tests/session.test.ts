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
    ask: vi.fn<Session['ask']>(() => Promise.resolve(null)),
    dispose: vi.fn()
  };
  const session = new Session(link as unknown as Link, () => ({ name: 'a', mode: 'REPLAY' }));
  const open = (): void => {
    link.isOpen = true;
    link.opened.emit();
  };
  return { link, session, open };
}

it('greets a kernel and shows what it says until it is gone', () => {
  const { link, session, open } = made();

  open();
  expect(link.ask.mock.calls).toEqual([
    [{ type: 'hello', version: 1, notebook: 'a', mode: 'REPLAY' }, undefined]
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
