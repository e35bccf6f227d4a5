import { ILabShell } from '@jupyterlab/application';
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { INotebookTracker } from '@jupyterlab/notebook';
import { IStatusBar } from '@jupyterlab/statusbar';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import type { TranslationBundle } from '@jupyterlab/translation';
import { Signal } from '@lumino/signaling';
import { Widget } from '@lumino/widgets';

import { element } from './dom';
import { OPEN_PANEL } from './panel/panel';
import { ISessions } from './kernel/sessions';
import { ISettings } from './settings';
import { details, level, line, warning } from './spending';

/** Mode and money of the current notebook, in the status bar; a click opens the side panel. */
class StatusItem extends Widget {
  /**
   * @param _sessions - knows the current notebook
   * @param _settings - how amounts are shown
   * @param _trans - translates
   * @param open - opens the side panel
   */
  constructor(
    private readonly _sessions: ISessions,
    private readonly _settings: ISettings,
    private readonly _trans: TranslationBundle,
    open: () => void
  ) {
    super();
    this.addClass('jp-LlmMagic-status');
    this._button = element('button', { type: 'button', class: 'jp-StatusBar-TextItem' });
    this._button.addEventListener('click', open);
    this.node.append(this._button);
    _sessions.currentChanged.connect(this._show, this);
    _settings.changed.connect(this._show, this);
    this._show();
  }

  override dispose(): void {
    this._sessions.currentChanged.disconnect(this._show, this);
    this._settings.changed.disconnect(this._show, this);
    super.dispose();
  }

  private _show(): void {
    const session = this._sessions.current;
    const state = session?.state ?? null;
    const { decimals } = this._settings;
    let text = this._trans.__('llm-magic: not loaded');
    let about = this._trans.__('%load_ext llm_magic in a cell loads it');
    const problem = session?.problem ?? null;
    if (state) {
      text = line(state, decimals, this._trans);
      about = details(state, decimals, this._trans);
    } else if (problem !== null) {
      text = this._trans.__('llm-magic: not connected');
      about = '';
    }
    about = [problem, about].filter(Boolean).join('\n');
    const warned = state ? warning(state, this._trans) : '';
    this._button.textContent = text;
    this._button.title = warned ? `${warned}\n${about}` : about;
    this._button.setAttribute('aria-description', this._button.title);
    if (warned) {
      // People who hear the page are told what others see as a colour.
      this._button.append(element('span', { class: 'jp-LlmMagic-heard' }, `, ${warned}`));
    }
    this.node.dataset.level = state ? level(state) : 'none';
  }

  private readonly _button: HTMLButtonElement;
}

export const status: JupyterFrontEndPlugin<void> = {
  id: 'llm-magic:status',
  description: 'Mode and cost of the current notebook in the status bar',
  autoStart: true,
  requires: [INotebookTracker, ISessions, ISettings],
  optional: [IStatusBar, ILabShell, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    tracker: INotebookTracker,
    sessions: ISessions,
    settings: ISettings,
    statusBar: IStatusBar | null,
    shell: ILabShell | null,
    translator: ITranslator | null
  ) => {
    if (!statusBar) {
      return;
    }
    const trans = (translator ?? nullTranslator).load('llm_magic');
    const item = new StatusItem(sessions, settings, trans, () => {
      if (app.commands.hasCommand(OPEN_PANEL)) {
        void app.commands.execute(OPEN_PANEL);
      }
    });
    const shown = new Signal<object, void>(item);
    const tell = (): void => {
      shown.emit();
    };
    shell?.currentChanged.connect(tell);
    sessions.currentChanged.connect(tell);
    statusBar.registerStatusItem('llm-magic:status', {
      item,
      align: 'left',
      rank: 10,
      isActive: () =>
        tracker.currentWidget !== null &&
        (shell === null || shell.currentWidget === tracker.currentWidget),
      activeStateChanged: shown
    });
  }
};
