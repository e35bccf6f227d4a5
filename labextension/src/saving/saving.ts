import type { JupyterFrontEndPlugin } from '@jupyterlab/application';
import { IDefaultFileBrowser } from '@jupyterlab/filebrowser';
import { INotebookTracker } from '@jupyterlab/notebook';
import type { NotebookPanel } from '@jupyterlab/notebook';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import type { TranslationBundle } from '@jupyterlab/translation';
import { Token } from '@lumino/coreutils';

import { PerNotebook } from '../kernel/pernotebook';
import type { Context } from '../kernel/pernotebook';
import { Saver } from './saver';
import { noticesIn } from '../notices';
import { ISessions } from '../kernel/sessions';
import { ISettings } from '../settings';

/** Saves the cassettes of all open notebooks. */
export interface ISavers {
  /** Saves that of a notebook. */
  of(panel: NotebookPanel): Saver;
}

export const ISavers = new Token<ISavers>(
  'llm-magic:ISavers',
  'Saves the cassettes of open notebooks.'
);

/** One saver for each notebook, as long as it is open. */
class Savers implements ISavers {
  constructor(
    tracker: INotebookTracker,
    sessions: ISessions,
    settings: ISettings,
    browser: IDefaultFileBrowser | null,
    trans: TranslationBundle
  ) {
    const notices = noticesIn(trans);
    const make = (context: Context): Saver =>
      new Saver(
        context,
        sessions.of({ context }),
        () => settings.saveCassette,
        async () => browser?.model.refresh(),
        notices,
        trans
      );
    this._savers = new PerNotebook(tracker, make);
  }

  of(panel: NotebookPanel): Saver {
    return this._savers.of(panel);
  }

  private readonly _savers: PerNotebook<Saver>;
}

export const saving: JupyterFrontEndPlugin<ISavers> = {
  id: 'llm-magic:saving',
  description: 'Saves the cassette with the notebook',
  autoStart: true,
  provides: ISavers,
  requires: [INotebookTracker, ISessions, ISettings],
  optional: [IDefaultFileBrowser, ITranslator],
  activate: (
    _,
    tracker: INotebookTracker,
    sessions: ISessions,
    settings: ISettings,
    browser: IDefaultFileBrowser | null,
    translator: ITranslator | null
  ) =>
    new Savers(
      tracker,
      sessions,
      settings,
      browser,
      (translator ?? nullTranslator).load('llm_magic')
    )
};
