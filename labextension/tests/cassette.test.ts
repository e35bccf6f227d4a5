import { expect, it } from 'vitest';

import { CassetteView } from '../src/panel/cassette';
import { CassetteWork } from '../src/panel/cassettework';
import type { VerifyReport } from '../src/kernel/types';
import { around, button, find } from './panelfakes';

const CLEAN: VerifyReport = {
  notebook: 'analysis.ipynb',
  cells: [{ number: 1, id: 'abc', line: '%%complete', status: 'same' }],
  findings: [],
  calls: 1,
  recordings: 1
};

function cassette() {
  const given = around();
  const work = new CassetteWork(given.session, given.document);
  const view = new CassetteView(given, work);
  view.update();
  return { ...given, work, node: view.node };
}

/** A kernel that goes on until it is told to stop. */
function untilStopped(_: unknown, stop?: AbortSignal): Promise<never> {
  return new Promise((_, refuse) => {
    stop?.addEventListener('abort', () => {
      refuse(new Error('verify: stopped'));
    });
  });
}

it('saves the notebook, then verifies it, and tells that it runs again', async () => {
  const { node, work, session, document } = cassette();
  session.ask.mockImplementation(() => {
    expect(document.save).toHaveBeenCalled();
    return Promise.resolve(CLEAN);
  });

  await work.start('verify');

  expect(session.ask.mock.calls[0][0]).toEqual({ type: 'verify' });
  expect(node.textContent).toContain('The notebook runs again: 1 cell the same.');
  expect(node.textContent).toContain('Stale0');
});

it('tells each finding with its cell, and counts what is stale', async () => {
  const { node, work, session, jump } = cassette();
  session.ask.mockResolvedValue({
    ...CLEAN,
    cells: [{ ...CLEAN.cells[0], status: 'drifted' }],
    findings: [
      { kind: 'drifted', message: 'another output', cell: 1, detail: '- <b>old\n+ new' },
      { kind: 'stale', message: 'no cell uses it', cell: null, detail: '' }
    ]
  });

  await work.start('verify');
  button(node, 'cell 1: %%complete').click();

  expect(node.textContent).toContain('0 of 1 cells are the same.');
  expect(find(node, 'pre').textContent).toBe('- <b>old\n+ new');
  expect(node.textContent).toContain('Stale1');
  expect(jump).toHaveBeenCalledWith({ id: 'abc', line: '%%complete' });
});

it('stops what it verifies, and does one thing at a time', async () => {
  const { node, work, session } = cassette();
  session.ask.mockImplementation(untilStopped);

  const done = work.start('verify');
  await expect.poll(() => session.ask.mock.calls.length).toBe(1);
  button(node, 'Save').click();
  expect(node.textContent).toContain('Verifying …');
  button(node, 'Stop').click();
  await done;

  expect(session.ask).toHaveBeenCalledTimes(1);
  expect(node.textContent).toContain('Stopped.');
  expect(find(node, '[role=alert]').textContent).toBe('');
});

it('hands the focus of the stop button on when it goes', async () => {
  const { node, work, session } = cassette();
  document.body.append(node);
  session.ask.mockImplementation(untilStopped);
  const done = work.start('verify');
  await expect.poll(() => session.ask.mock.calls.length).toBe(1);

  button(node, 'Stop').focus();
  button(node, 'Stop').click();
  await done;

  expect(document.activeElement).toBe(button(node, 'Verify'));
  node.remove();
});

it('reads the notebook again once it is packed', async () => {
  const { node, work, session, document } = cassette();
  session.ask.mockImplementation(() => {
    expect(document.revert).not.toHaveBeenCalled();
    return Promise.resolve('analysis.ipynb carries 2 recordings (1.2 kB)');
  });

  await work.start('pack');

  expect(document.revert).toHaveBeenCalledTimes(1);
  expect(node.textContent).toContain('analysis.ipynb carries 2 recordings (1.2 kB)');
});

it('tells an error in its own words, and leaves the notebook as it is', async () => {
  const { node, work, session, document } = cassette();
  session.ask.mockRejectedValue(new Error('nothing is recorded'));

  await work.start('pack');

  expect(find(node, '[role=alert]').textContent).toBe('nothing is recorded');
  expect(document.revert).not.toHaveBeenCalled();
  expect(button(node, 'Pack').getAttribute('aria-disabled')).toBe('false');
});

it('says what a save did', async () => {
  const { node, work, session } = cassette();
  const saved = { name: 'a.cassette.jsonl', total: 2, added: 2, replaced: 0, removed: 1 };
  session.ask.mockResolvedValue({ ...saved, advice: 'Commit it.' });

  await work.start('save');

  expect(node.textContent).toContain('a.cassette.jsonl saved: 2 new, 1 removed. Commit it.');
});

it('packs nothing while a cell runs, whose output would be lost', async () => {
  const { node, work, session, document } = cassette();
  Object.assign(document, { running: true });

  await work.start('pack');

  expect(session.ask).not.toHaveBeenCalled();
  expect(document.save).not.toHaveBeenCalled();
  expect(node.textContent).toContain('A cell is running. Pack the notebook when it has ended.');
});
