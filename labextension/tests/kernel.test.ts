import type { KernelMessage } from '@jupyterlab/services';
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
    username: 'someone',
    clientId: 'page',
    sendShellMessage: vi.fn<(message: unknown) => unknown>(() => ({ done: Promise.resolve() })),
    iopubMessage: new Signal<object, unknown>(owner),
    registerCommTarget: vi.fn(),
    removeCommTarget: vi.fn(),
    requestCommInfo: () =>
      Promise.resolve({
        content: { status: 'ok', comms: Object.fromEntries(ids.map(id => [id, {}])) }
      }),
    createComm: (target: string, commId = `new ${comms.length}`) => {
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
  const closed = (): unknown[] =>
    kernel.sendShellMessage.mock.calls.map(([message]) => {
      const { header, content } = message as KernelMessage.ICommCloseMsg;
      return [header.msg_type, content.comm_id];
    });
  const last = (target: string): Comm => comms.filter(one => one.target === target).slice(-1)[0];
  const say = (data: unknown): void => last(STATE).onMsg?.({ content: { data } });
  return { ids, kernel, context, link, closed, last, say };
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

it('closes its comm when the notebook is closed, and nothing of a kernel that is dead', async () => {
  const [alive, dead] = [made(['there']), made(['there'])];
  await settled();
  dead.kernel.status = 'dead';

  for (const { link, context } of [alive, dead]) {
    link.ask({ type: 'mode', mode: 'REPLAY' }).catch(() => undefined);
    context.disposed.emit();
  }

  expect(alive.closed()).toEqual([['comm_close', alive.last(CONTROL).commId]]);
  expect(dead.closed()).toEqual([]);
  expect([alive.link.isOpen, dead.link.isOpen]).toEqual([false, false]);
});

it('closes its comm when the page is left, and opens another one where people stay', async () => {
  const { link, closed, last, say } = made(['there']);
  await settled();
  link.ask({ type: 'mode', mode: 'REPLAY' }).catch(() => undefined);
  const first = last(CONTROL);

  window.dispatchEvent(new Event('beforeunload'));
  const answer = link.ask({ type: 'mode', mode: 'DISABLED' });
  say({ type: 'reply', id: last(CONTROL).sent[0].id, result: 1, error: null });

  expect(closed()).toEqual([['comm_close', first.commId]]);
  expect(last(CONTROL)).not.toBe(first);
  expect(await answer).toBe(1);
});

it('waits for no answer to what could not be sent', async () => {
  const { link, last, context } = made(['there']);
  await settled();
  link.ask({ type: 'mode', mode: null }).catch(() => undefined);
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
