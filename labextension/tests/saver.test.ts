import { Signal } from '@lumino/signaling';
import { expect, it, vi } from 'vitest';

import { KernelGoneError } from '../src/kernel/kernel';
import { Saver, savedText } from '../src/saving/saver';
import type { Session } from '../src/kernel/session';
import type { SavedCassette } from '../src/kernel/types';
import { state, trans } from './panelfakes';

function saved(changes: Partial<SavedCassette> = {}): SavedCassette {
  const name = 'a.cassette.jsonl';
  return { name, total: 3, added: 0, replaced: 0, removed: 0, advice: '', ...changes };
}

function made({ loaded = true, wanted = true, path = 'folder/a.ipynb' } = {}) {
  const owner = {};
  const file = {
    path,
    saveState: new Signal<object, string>(owner),
    pathChanged: new Signal<object, string>(owner)
  };
  const session = {
    isOpen: true,
    state: loaded ? state() : null,
    changed: new Signal<object, void>(owner),
    ask: vi.fn<Session['ask']>(() => Promise.resolve(saved())),
    renamed: vi.fn<Session['renamed']>(async ready => {
      await ready;
      return null;
    })
  };
  const notices = { info: vi.fn(), error: vi.fn() };
  const listed = vi.fn(() => Promise.resolve());
  const saver = new Saver(
    file,
    session as unknown as Session,
    () => wanted,
    listed,
    notices,
    trans
  );
  const notebookSaved = async (): Promise<void> => {
    file.saveState.emit('started');
    file.saveState.emit('completed');
    await new Promise(process.nextTick);
  };
  return { file, session, listed, notices, saver, notebookSaved };
}

it('saves with the notebook and says nothing when nothing changed', async () => {
  const { session, notices, notebookSaved } = made();

  await notebookSaved();

  expect(session.ask.mock.calls).toEqual([[{ type: 'save' }]]);
  expect(notices.info).not.toHaveBeenCalled();
});

it.each([
  { loaded: false },
  { wanted: false },
  { path: 'a script that Jupytext shows as a notebook.py' }
])('does not save when %o', async options => {
  const { session, notebookSaved } = made(options);

  await notebookSaved();

  expect(session.ask).not.toHaveBeenCalled();
});

it('says that it is up to date when asked for', async () => {
  const { saver, notices } = made();

  await saver.save();

  expect(notices.info).toHaveBeenCalledWith('a.cassette.jsonl is up to date');
});

it('tells the same failure once', async () => {
  const { session, notices, notebookSaved } = made();
  session.ask.mockRejectedValue(new Error('the disk is full'));

  await notebookSaved();
  await notebookSaved();

  expect(notices.error.mock.calls).toEqual([['llm-magic: the disk is full']]);
});

it('saves once the kernel has spoken where the notebook was saved before', async () => {
  const { session, notebookSaved } = made({ loaded: false });

  await notebookSaved();
  await notebookSaved();
  session.changed.emit();
  expect(session.ask).not.toHaveBeenCalled();
  session.state = state();
  session.changed.emit();
  session.changed.emit();

  expect(session.ask.mock.calls).toEqual([[{ type: 'save' }]]);
});

it('lets the file browser list the folder before a cassette in it is moved, and after', async () => {
  const { file, session, listed } = made();
  let end = (): void => undefined;
  listed.mockReturnValueOnce(new Promise(resolve => (end = resolve)));
  const heard = vi.fn();

  file.pathChanged.emit('b.ipynb');
  void session.renamed.mock.calls[0][0].then(heard);
  await new Promise(process.nextTick);

  expect(heard).not.toHaveBeenCalled();
  end();
  await expect.poll(() => listed.mock.calls.length).toBe(2);
  expect(heard).toHaveBeenCalledOnce();
});

it.each([
  ['fails', () => Promise.reject(new Error('no such folder'))],
  ['never ends', () => new Promise<void>(() => undefined)]
])('tells the kernel the new name also when a listing %s', async (_, listing) => {
  vi.useFakeTimers();
  const { file, session, listed, notices } = made();
  listed.mockImplementation(listing);

  file.pathChanged.emit('b.ipynb');
  const ready = session.renamed.mock.calls[0][0];
  await vi.runAllTimersAsync();

  await expect(ready).resolves.toBeUndefined();
  expect(notices.error).not.toHaveBeenCalled();
  vi.useRealTimers();
});

it('tells people what the kernel says to a new name', async () => {
  const { file, session, notices } = made();
  session.renamed.mockResolvedValue('the old cassette stays');

  file.pathChanged.emit('folder/b.ipynb');
  await new Promise(process.nextTick);

  expect(notices.info).toHaveBeenCalledWith('llm-magic: the old cassette stays');
});

it('tells a kernel nothing of the name of a script', () => {
  const { file, session } = made({ path: 'a.py' });

  file.pathChanged.emit('b.py');

  expect(session.renamed).not.toHaveBeenCalled();
});

it.each([
  [{ total: 0 }, 'Nothing is recorded yet, so a.cassette.jsonl has no answers'],
  [{ added: 2, removed: 1 }, 'a.cassette.jsonl saved: 2 new, 1 removed'],
  [{ replaced: 1, advice: 'Commit it.' }, 'a.cassette.jsonl saved: 1 replaced. Commit it.']
])('tells %o as %s', (changes, told) => {
  expect(savedText(saved(changes), trans)).toBe(told);
});

it.each([
  ['with the notebook', false, []],
  ['by people', true, [['llm-magic: the kernel went away before it answered']]]
])('says of a kernel that is gone, asked %s, %s', async (_, asked, told) => {
  const { saver, session, notices, notebookSaved } = made();
  session.ask.mockRejectedValue(new KernelGoneError());

  await (asked ? saver.save() : notebookSaved());

  expect(notices.error.mock.calls).toEqual(told);
});
