import { Signal } from '@lumino/signaling';
import { expect, it, vi } from 'vitest';

import { StartingMode } from '../src/modes/starting';
import type { Context } from '../src/modes/starting';
import type { Mode } from '../src/kernel/types';

/** A kernel that answers each request with a status, and what it was sent. */
function made(options: { language?: string; wanted?: Mode | null; reply?: string } = {}) {
  const { language = 'python', wanted = 'REPLAY', reply = 'ok' } = options;
  const owner = {};
  const sent: string[] = [];
  const kernel = {
    name: 'one',
    status: 'idle',
    requestExecute: vi.fn((request: { code: string; silent: boolean }) => {
      sent.push(request.code);
      return { done: Promise.resolve({ content: { status: reply } }) };
    })
  };
  const context = {
    kernelChanged: new Signal<object, unknown>(owner),
    statusChanged: new Signal<object, string>(owner),
    session: { kernel },
    specsManager: { specs: { kernelspecs: { one: { language } } } }
  };
  const asked: { mode: Mode | null } = { mode: wanted };
  const starting = new StartingMode(context as unknown as Context, () => asked.mode);
  return { sent, kernel, context, asked, starting };
}

const REPLAY = "get_ipython().config.CompleteMagics.mode = 'REPLAY'";

it('tells a kernel once, silently', () => {
  const { sent, kernel, starting } = made();

  starting.tell();

  expect(sent).toEqual([REPLAY]);
  expect(kernel.requestExecute.mock.calls[0][0].silent).toBe(true);
});

it.each([
  ['in another language', { language: 'R' }],
  ['that nothing is wanted of', { wanted: null }]
])('tells nothing to a kernel %s', (_, options) => {
  expect(made(options).sent).toEqual([]);
});

it.each(['restarting', 'autorestarting', 'starting'])('tells a kernel that is %s anew', status => {
  const { sent, context, starting } = made();
  context.statusChanged.emit(status);

  starting.tell();
  context.statusChanged.emit('idle');

  expect(sent).toEqual([REPLAY, REPLAY]);
});

it('takes back what it told', () => {
  const { sent, asked, starting } = made();
  asked.mode = null;

  starting.tell();

  expect(sent[1]).toBe("get_ipython().config.CompleteMagics.pop('mode', None)");
});

it('tells it anew with the next cell when a cell that failed took it along', async () => {
  const { sent, starting } = made({ reply: 'aborted' });
  await Promise.resolve();

  starting.tell();

  expect(sent).toEqual([REPLAY, REPLAY]);
});
