import { Signal } from '@lumino/signaling';
import { expect, it, vi } from 'vitest';

import { KernelLink } from '../src/kernel/kernel';
import { CONTROL, STATE } from '../src/kernel/types';
import { state } from './panelfakes';

type Context = ConstructorParameters<typeof KernelLink>[0];

interface Comm {
  commId: string;
  target: string;
  sent: { id: string }[];
  close: () => void;
  send: (question: { id: string }) => void;
  onMsg?: (message: unknown) => void;
}

/** A kernel that has the comms `ids`, and the page's link to it. */
function made(ids: string[] = []) {
  const owner = {};
  const comms: Comm[] = [];
  const kernel = {
    isDisposed: false,
    handleComms: true,
    status: 'idle',
    connectionStatus: 'connected',
    iopubMessage: new Signal<object, unknown>(owner),
    registerCommTarget: vi.fn(),
    removeCommTarget: vi.fn(),
    requestCommInfo: () =>
      Promise.resolve({
        content: { status: 'ok', comms: Object.fromEntries(ids.map(id => [id, {}])) }
      }),
    createComm: (target: string, commId = 'new') => {
      const sent: Comm['sent'] = [];
      const made = {
        commId,
        target,
        sent,
        open: vi.fn(),
        close: vi.fn(),
        send: sent.push.bind(sent)
      };
      comms.push(made);
      return made;
    }
  };
  const context = {
    kernelChanged: new Signal<object, unknown>(owner),
    statusChanged: new Signal<object, string>(owner),
    connectionStatusChanged: new Signal<object, string>(owner),
    disposed: new Signal<object, void>(owner),
    session: { kernel }
  };
  const link = new KernelLink(context as unknown as Context);
  const last = (target: string): Comm => comms.filter(one => one.target === target).slice(-1)[0];
  const say = (data: unknown): void => last(STATE).onMsg?.({ content: { data } });
  return { ids, kernel, context, link, last, say };
}

const settled = (): Promise<void> => new Promise(process.nextTick);

it('finds the comm of a kernel that has one, and asks', async () => {
  const { link, last, say } = made(['there']);
  await settled();

  const answer = link.ask({ type: 'mode', mode: 'REPLAY' });
  const [asked] = last(CONTROL).sent;
  say({ type: 'reply', id: 'of another page', result: 0, error: null });
  say({ type: 'reply', id: asked.id, result: 1, error: null });

  expect(last(STATE).commId).toBe('there');
  expect(await answer).toBe(1);
});

it("rejects with the kernel's own words", async () => {
  const { link, last, say } = made(['there']);
  await settled();

  const answer = link.ask({ type: 'mode', mode: 'REPLAY' });
  say({ type: 'reply', id: last(CONTROL).sent[0].id, result: null, error: 'not now' });

  await expect(answer).rejects.toThrow('not now');
});

it.each(['restarting', 'autorestarting', 'starting', 'dead'])(
  'is closed, and what was asked rejected, when the kernel is %s',
  async status => {
    const { link, context } = made(['there']);
    await settled();

    const answer = link.ask({ type: 'mode', mode: 'REPLAY' });
    context.statusChanged.emit(status);

    await expect(answer).rejects.toThrow('the kernel went away');
    expect(link.isOpen).toBe(false);
  }
);

it.each([
  [[], false, 'there'],
  [['other'], true, 'other'],
  [['there'], true, 'there']
])('after a lost connection goes by what the kernel has: %j', async (now, isOpen, id) => {
  const { link, ids, context, last } = made(['there']);
  await settled();
  ids.splice(0, 1, ...now);

  context.connectionStatusChanged.emit('connected');
  await settled();

  expect(link.isOpen).toBe(isOpen);
  expect(last(STATE).commId).toBe(id);
});

it('hears a kernel that is too busy to tell where its comm is', async () => {
  const { link, kernel, last } = made();
  await settled();
  const heard = vi.fn();
  link.told.connect((_, message) => {
    heard(message);
  });

  kernel.iopubMessage.emit({ content: { comm_id: 'widget', data: { state: {} } } });
  kernel.iopubMessage.emit({ content: { comm_id: 'ours', data: state() } });

  expect(last(STATE).commId).toBe('ours');
  expect(heard.mock.calls).toEqual([[state()]]);
});

it.each([
  [
    'the notebook is closed',
    ({ context }: ReturnType<typeof made>): void => {
      context.disposed.emit();
    }
  ],
  [
    'the page is left',
    (): void => {
      window.dispatchEvent(new PageTransitionEvent('pagehide', { persisted: false }));
    }
  ]
])('closes its comm when %s, and nothing of a kernel that is dead', async (_, leave) => {
  const [alive, dead] = [made(['there']), made(['there'])];
  await settled();
  dead.kernel.status = 'dead';

  for (const one of [alive, dead]) {
    leave(one);
  }

  expect(alive.last(CONTROL).close).toHaveBeenCalledOnce();
  expect(alive.last(STATE).close).not.toHaveBeenCalled();
  expect(dead.last(CONTROL).close).not.toHaveBeenCalled();
  expect([alive.link.isOpen, dead.link.isOpen]).toEqual([false, false]);
});

it('waits for no answer to what could not be sent', async () => {
  const { link, last, context } = made(['there']);
  await settled();
  last(CONTROL).send = () => {
    throw new Error('the connection is gone');
  };
  const unhandled = vi.fn();
  process.on('unhandledRejection', unhandled);

  await expect(link.ask({ type: 'mode', mode: 'REPLAY' })).rejects.toThrow('connection is gone');
  context.statusChanged.emit('dead');
  await new Promise(setImmediate);

  expect(unhandled).not.toHaveBeenCalled();
  process.off('unhandledRejection', unhandled);
});
