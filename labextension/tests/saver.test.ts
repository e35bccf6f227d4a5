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

function made({ loaded = true, wanted = true } = {}) {
  const owner = {};
  const file = {
    saveState: new Signal<object, string>(owner),
    pathChanged: new Signal<object, string>(owner)
  };
  const session = {
    state: loaded ? state() : null,
    ask: vi.fn<Session['ask']>(() => Promise.resolve(saved()))
  };
  const notices = { info: vi.fn(), error: vi.fn() };
  const listed = vi.fn(() => Promise.resolve());
  const saver = new Saver(
    file,
    session,
    () => 'a',
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

  expect(session.ask.mock.calls).toEqual([[{ type: 'save', notebook: 'a' }]]);
  expect(notices.info).not.toHaveBeenCalled();
});

it.each([{ loaded: false }, { wanted: false }])('does not save when %o', async options => {
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

it('lets the file browser list the folder before a cassette in it is moved', async () => {
  const { file, session, listed } = made();
  let end = (): void => undefined;
  listed.mockReturnValueOnce(new Promise(resolve => (end = resolve)));

  file.pathChanged.emit('b.ipynb');
  await new Promise(process.nextTick);

  expect(session.ask).not.toHaveBeenCalled();
  end();
  await new Promise(process.nextTick);
  expect(session.ask).toHaveBeenCalledOnce();
  expect(listed).toHaveBeenCalledTimes(2);
});

it('tells the kernel the new name, and people what the kernel says to that', async () => {
  const { file, session, notices } = made();
  session.ask.mockResolvedValue('the old cassette stays');

  file.pathChanged.emit('folder/b.ipynb');
  await new Promise(process.nextTick);

  expect(session.ask.mock.calls).toEqual([[{ type: 'renamed', notebook: 'a' }]]);
  expect(notices.info).toHaveBeenCalledWith('llm-magic: the old cassette stays');
});

it('saves after the kernel has heard of a new name, not before', async () => {
  const { file, session, listed, saver } = made();
  let end = (): void => undefined;
  listed.mockReturnValueOnce(new Promise(resolve => (end = resolve)));

  file.pathChanged.emit('b.ipynb');
  const saving = saver.save();
  end();
  await saving;

  expect(session.ask.mock.calls.map(([asked]) => asked.type)).toEqual(['renamed', 'save']);
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
