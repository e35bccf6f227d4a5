import { Signal } from '@lumino/signaling';
import { expect, it, vi } from 'vitest';

import { NotebookMode } from '../src/modes/mode';
import type { Session } from '../src/kernel/session';
import type { Mode } from '../src/kernel/types';
import { state } from './panelfakes';

/** A mode whose kernel takes what it is told. */
function made({ loaded = true, carried = null as Mode | null, other = null as Mode | null } = {}) {
  const owner = {};
  const session = {
    state: loaded ? state() : null,
    isOpen: loaded,
    changed: new Signal<object, void>(owner),
    ask: vi.fn<Session['ask']>()
  };
  let set: Mode | null = null;
  session.ask.mockImplementation(question => {
    const before = set;
    set = (question as { mode: Mode | null }).mode;
    session.state = state({ mode: set ?? 'FALLBACK' });
    session.changed.emit();
    return Promise.resolve(before);
  });
  const keeper = { read: () => carried, write: vi.fn((mode: Mode | null) => (carried = mode)) };
  const mode = new NotebookMode(session as unknown as Session, keeper, () => other);
  return { session, keeper, mode };
}

it.each(['REPLAY', 'FALLBACK', 'DISABLED'] as const)('keeps %s in the notebook', async wanted => {
  const { mode, keeper } = made();

  await mode.choose(wanted);

  expect(mode.mode).toBe(wanted);
  expect(keeper.read()).toBe(wanted);
});

it('leaves alone what the notebook carries when CAPTURE is chosen', async () => {
  const { mode, keeper } = made({ carried: 'REPLAY' });

  await mode.choose('CAPTURE');

  expect(mode.mode).toBe('CAPTURE');
  expect(keeper.read()).toBe('REPLAY');
});

it('keeps nothing that the kernel refuses', async () => {
  const { mode, session, keeper } = made();
  session.ask.mockRejectedValue(new Error('not now'));

  await expect(mode.choose('REPLAY')).rejects.toThrow('not now');

  expect(mode.mode).toBe('FALLBACK');
  expect(keeper.write).not.toHaveBeenCalled();
});

it.each([
  ['REPLAY', 'DISABLED', 'REPLAY'],
  [null, 'DISABLED', 'DISABLED'],
  [null, null, null]
] as const)(
  'begins, where a notebook says %s and the settings %s, in %s',
  (carried, other, mode) => {
    expect(made({ loaded: false, carried, other }).mode.mode).toBe(mode);
  }
);

it.each([
  [true, null, [true, true, true, true, true]],
  [false, null, [true, true, false, true, true]],
  [true, { mode: 'REPLAY', reason: 'why' } as const, [false, false, false, false, false]]
])('offers, loaded %s and pinned %s, what can be had', (loaded, pinned, offered) => {
  const { mode, session } = made({ loaded });
  session.state &&= { ...session.state, pinned };
  const all = ['REPLAY', 'FALLBACK', 'CAPTURE', 'DISABLED', null] as const;

  expect(all.map(one => mode.offers(one))).toEqual(offered);
});

it('goes back to the mode before, also when the work fails', async () => {
  const { mode, keeper } = made();
  const seen: unknown[] = [];

  const work = mode.during('REPLAY', () => {
    seen.push(mode.mode);
    return Promise.reject(new Error('a cell failed'));
  });

  await expect(work).rejects.toThrow('a cell failed');
  expect([...seen, mode.mode]).toEqual(['REPLAY', 'FALLBACK']);
  expect(keeper.write).not.toHaveBeenCalled();
});

it.each([null, 'DISABLED', 'CAPTURE'] as const)(
  'leaves behind the mode that was set before: %s',
  async before => {
    const { mode, session } = made();
    await mode.choose(before);

    await mode.during('REPLAY', () => Promise.resolve());

    expect(session.ask).toHaveBeenLastCalledWith({ type: 'mode', mode: before });
  }
);

it('has a kernel that is loaded by the work begin in its mode, and go back', async () => {
  const { mode, session } = made({ loaded: false });
  const seen: unknown[] = [];

  await mode.during('REPLAY', () => {
    seen.push(mode.begins);
    session.isOpen = true;
    session.state = state({ mode: 'REPLAY' });
    return Promise.resolve();
  });

  expect(seen).toEqual(['REPLAY']);
  expect(session.ask.mock.calls).toEqual([[{ type: 'mode', mode: null }]]);
  expect(mode.begins).toBeNull();
});

it('goes back once where two at a time need the same mode', async () => {
  const { mode, session } = made();
  const ends: (() => void)[] = [];
  const work = () => new Promise<void>(done => ends.push(done));

  const both = [mode.during('REPLAY', work), mode.during('REPLAY', work)];
  await vi.waitUntil(() => ends.length === 2);
  ends[0]();
  await both[0];
  const between = mode.mode;
  ends[1]();
  await both[1];

  expect([between, mode.mode]).toEqual(['REPLAY', 'FALLBACK']);
  expect(session.ask).toHaveBeenCalledTimes(3);
});

it('stays in the mode that people choose meanwhile', async () => {
  const { mode } = made();

  await mode.during('REPLAY', () => mode.choose('DISABLED'));

  expect(mode.mode).toBe('DISABLED');
});

it('leaves a kernel that began meanwhile to what the notebook carries', async () => {
  const { mode, session } = made({ carried: 'DISABLED' });
  session.state = state({ mode: 'CAPTURE' });

  await mode.during('REPLAY', () => {
    session.state = state({ mode: 'REPLAY', kernel: 'after a restart' });
    return Promise.resolve();
  });

  expect(session.ask).toHaveBeenLastCalledWith({ type: 'mode', mode: 'DISABLED' });
});

it('needs no change of mode where REPLAY is imposed', async () => {
  const { mode, session } = made();
  session.state = state({ mode: 'REPLAY', pinned: { mode: 'REPLAY', reason: 'why' } });

  await mode.during('REPLAY', () => Promise.resolve());

  expect(session.ask).not.toHaveBeenCalled();
});

it('asks a kernel that has loaded llm-magic and not told its state yet', async () => {
  const { mode, session } = made({ loaded: false });
  session.isOpen = true;

  await mode.choose('REPLAY');

  expect(session.ask.mock.calls).toEqual([[{ type: 'mode', mode: 'REPLAY' }]]);
});
