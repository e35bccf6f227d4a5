import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { NotebookPanel } from '@jupyterlab/notebook';
import { expect, it, vi } from 'vitest';

import { OpenNotebook } from '../src/panel/opennotebook';

interface Content {
  cells: string[];
  metadata: Record<string, unknown>;
}

/** A notebook whose file holds something else than its model. */
function made({ dirty = false } = {}) {
  let content: Content = { cells: ['edited'], metadata: { llm_magic: { mode: 'REPLAY' } } };
  const packed: Content = { cells: ['saved'], metadata: { llm_magic: { cassette: ['{}'] } } };
  const model = {
    dirty,
    toJSON: () => structuredClone(content),
    fromJSON: (value: Content) => (content = value),
    getMetadata: (key: string) => content.metadata[key],
    setMetadata: (key: string, value: unknown) => (content.metadata[key] = value)
  };
  const context = {
    model,
    save: vi.fn(() => Promise.resolve()),
    revert: () => Promise.resolve(void (content = packed))
  };
  const panel = { context } as unknown as NotebookPanel;
  const shell = {} as JupyterFrontEnd.IShell;
  return { context, read: () => content, document: new OpenNotebook(panel, shell) };
}

it('takes what was packed from the file, and keeps what was edited meanwhile', async () => {
  const { document, read } = made({ dirty: true });

  await document.revert();

  expect(read()).toEqual({ cells: ['edited'], metadata: { llm_magic: { cassette: ['{}'] } } });
});

it('takes the file as it is where nothing was edited', async () => {
  const { document, read } = made();

  await document.revert();

  expect(read().cells).toEqual(['saved']);
});

it.each([
  [true, 1],
  [false, 0]
])('is written, edited %s, %d times', async (dirty, times) => {
  const { document, context } = made({ dirty });

  await document.save();

  expect(context.save).toHaveBeenCalledTimes(times);
});

it.each([
  [['idle', 'running'], true],
  [['idle', undefined], false]
])('knows of cells that are %s whether one runs', (states, expected) => {
  const widgets = states.map(executionState => ({ model: { executionState } }));
  const panel = { content: { widgets } } as unknown as NotebookPanel;

  expect(new OpenNotebook(panel, {} as JupyterFrontEnd.IShell).running).toBe(expected);
});

it('numbers its code cells, as verifying does', () => {
  const widgets = ['code', 'markdown', 'code'].map((type, at) => ({
    model: { type, id: `${at}` }
  }));
  const panel = { content: { widgets } } as unknown as NotebookPanel;

  expect(new OpenNotebook(panel, {} as JupyterFrontEnd.IShell).cells()).toEqual(['0', '2']);
});
