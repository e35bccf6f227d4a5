import type { JupyterFrontEndPlugin } from '@jupyterlab/application';
import { INotebookTracker, NotebookActions } from '@jupyterlab/notebook';
import type { Notebook, NotebookPanel } from '@jupyterlab/notebook';
import { Token } from '@lumino/coreutils';

import { readMode, writeMode } from './metadata';
import { NotebookMode } from './mode';
import { PerNotebook } from '../kernel/pernotebook';
import type { Context } from '../kernel/pernotebook';
import { ISessions } from '../kernel/sessions';
import { ISettings } from '../settings';
import { StartingMode } from './starting';

/** The modes of all open notebooks. */
export interface IModes {
  /** That of a notebook. */
  of(panel: NotebookPanel): NotebookMode;
}

export const IModes = new Token<IModes>(
  'llm-magic:IModes',
  'The modes of open notebooks, and how to choose others.'
);

/** One mode for each notebook, as long as it is open; its kernel begins with it. */
export class Modes implements IModes {
  /**
   * @param tracker - knows the notebooks
   * @param _sessions - knows what their kernels say
   * @param _settings - has the mode of those that say nothing
   */
  constructor(
    tracker: INotebookTracker,
    private readonly _sessions: ISessions,
    private readonly _settings: ISettings
  ) {
    this._modes = new PerNotebook(tracker, context => this._follow(context));
  }

  of(panel: NotebookPanel): NotebookMode {
    return this._modes.of(panel);
  }

  private _follow(context: Context): NotebookMode {
    const { model, sessionContext } = context;
    // Read once for each change: a packed cassette stands beside it, and reading copies all of it.
    let carried = readMode(model);
    const keeper = {
      read: () => carried,
      write: (mode: NotebookMode['begins']) => {
        writeMode(model, mode);
      }
    };
    const mode = new NotebookMode(
      this._sessions.of({ context }),
      keeper,
      () => this._settings.defaultMode
    );
    const starting = new StartingMode(sessionContext, () => mode.begins);
    mode.changed.connect(starting.tell, starting);
    // Emitted for each cell right before it goes to the kernel, also when many are run at once.
    const beforeCell = (_: unknown, { notebook }: { notebook: Notebook }): void => {
      if (notebook.model === model) {
        starting.tell();
      }
    };
    NotebookActions.executionScheduled.connect(beforeCell);
    model.metadataChanged.connect(() => {
      carried = readMode(model);
      mode.refresh();
    });
    this._settings.changed.connect(mode.refresh, mode);
    context.disposed.connect(() => {
      NotebookActions.executionScheduled.disconnect(beforeCell);
      this._settings.changed.disconnect(mode.refresh, mode);
      starting.dispose();
    });
    return mode;
  }

  private readonly _modes: PerNotebook<NotebookMode>;
}

export const modes: JupyterFrontEndPlugin<IModes> = {
  id: 'llm-magic:modes',
  description: 'Has kernels begin in the mode that their notebooks carry',
  autoStart: true,
  provides: IModes,
  requires: [INotebookTracker, ISessions, ISettings],
  activate: (_, tracker: INotebookTracker, sessions: ISessions, settings: ISettings) =>
    new Modes(tracker, sessions, settings)
};
