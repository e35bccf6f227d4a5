import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import { Signal } from '@lumino/signaling';
import { expect, it, vi } from 'vitest';

import { PerNotebook } from '../src/kernel/pernotebook';

/** A tracker of notebooks, and the things that were made for these. */
function made() {
  const owner = {};
  const widgetAdded = new Signal<object, unknown>(owner);
  const things: { isDisposed: boolean; dispose: () => void }[] = [];
  const tracker = { widgetAdded, forEach: vi.fn() };
  const all = new PerNotebook(tracker as unknown as INotebookTracker, () => {
    const thing = { isDisposed: false, dispose: () => (thing.isDisposed = true) };
    things.push(thing);
    return thing;
  });
  const context = { disposed: new Signal<object, void>(owner) };
  const view = () => ({ context }) as unknown as NotebookPanel;
  return { widgetAdded, things, all, context, view };
}

it('makes one thing for a notebook in two views', () => {
  const { widgetAdded, things, all, view } = made();

  widgetAdded.emit(view());
  widgetAdded.emit(view());

  expect(things).toHaveLength(1);
  expect(all.of(view())).toBe(things[0]);
});

it('disposes it when the notebook is closed, and makes another when it is opened again', () => {
  const { things, all, context, view } = made();
  all.of(view());

  context.disposed.emit();

  expect(things[0].isDisposed).toBe(true);
  expect(all.of(view())).not.toBe(things[0]);
});
