import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import type { IDisposable } from '@lumino/disposable';

/** The file of an open notebook, with its model and its kernel; all views of it have the same. */
export type Context = NotebookPanel['context'];

/**
 * One thing for each open notebook, made when it is opened and disposed when it is closed.
 *
 * A notebook that people look at in two views is one notebook: its kernel is asked once.
 */
export class PerNotebook<Thing extends IDisposable> {
  /**
   * @param tracker - knows the notebooks
   * @param _make - makes the thing of a notebook
   */
  constructor(
    tracker: Pick<INotebookTracker, 'widgetAdded' | 'forEach'>,
    private readonly _make: (context: Context) => Thing
  ) {
    tracker.widgetAdded.connect((_, panel) => this.of(panel));
    tracker.forEach(panel => this.of(panel));
  }

  /** That of the notebook in a view. */
  of({ context }: Pick<NotebookPanel, 'context'>): Thing {
    let thing = this._things.get(context);
    if (!thing) {
      const made = this._make(context);
      thing = made;
      this._things.set(context, made);
      context.disposed.connect(() => {
        made.dispose();
        this._things.delete(context);
      });
    }
    return thing;
  }

  private readonly _things = new Map<Context, Thing>();
}
