import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import { PathExt } from '@jupyterlab/coreutils';
import { Token } from '@lumino/coreutils';
import { Signal } from '@lumino/signaling';
import type { ISignal } from '@lumino/signaling';

import { KernelLink } from './kernel';
import { readMode } from '../modes/metadata';
import { PerNotebook } from './pernotebook';
import type { Context } from './pernotebook';
import { Session } from './session';

/** The sessions of all open notebooks. */
export interface ISessions {
  /** That of a notebook. */
  of(panel: Pick<NotebookPanel, 'context'>): Session;
  /** That of the notebook that people look at; null where there is none. */
  readonly current: Session | null;
  /** The notebook that people look at, or what is known of it, is another. */
  readonly currentChanged: ISignal<ISessions, void>;
}

export const ISessions = new Token<ISessions>(
  'llm-magic:ISessions',
  'What llm-magic knows of open notebooks: mode, cost, calls and recordings.'
);

/** One session for each notebook, as long as it is open. */
export class Sessions implements ISessions {
  constructor(private readonly _tracker: INotebookTracker) {
    this._sessions = new PerNotebook(_tracker, context => {
      const notebook = () => ({ name: notebookName(context), mode: readMode(context.model) });
      return new Session(new KernelLink(context.sessionContext), notebook);
    });
    _tracker.currentChanged.connect(this._onCurrentChanged, this);
    this._onCurrentChanged();
  }

  get current(): Session | null {
    return this._current;
  }

  get currentChanged(): ISignal<this, void> {
    return this._currentChanged;
  }

  of(panel: Pick<NotebookPanel, 'context'>): Session {
    return this._sessions.of(panel);
  }

  private _onCurrentChanged(): void {
    const panel = this._tracker.currentWidget;
    this._current?.changed.disconnect(this._tell, this);
    this._current = panel && !panel.isDisposed ? this.of(panel) : null;
    this._current?.changed.connect(this._tell, this);
    this._tell();
  }

  private _tell(): void {
    this._currentChanged.emit();
  }

  private _current: Session | null = null;
  private readonly _sessions: PerNotebook<Session>;
  private readonly _currentChanged = new Signal<this, void>(this);
}

/** A notebook's name without `.ipynb`, as the kernel knows it. */
export function notebookName(context: Context): string {
  return PathExt.basename(context.localPath, '.ipynb');
}
