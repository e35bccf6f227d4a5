import { ILayoutRestorer } from '@jupyterlab/application';
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Clipboard, ICommandPalette } from '@jupyterlab/apputils';
import { INotebookTracker } from '@jupyterlab/notebook';
import type { NotebookPanel } from '@jupyterlab/notebook';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import type { TranslationBundle } from '@jupyterlab/translation';
import { LabIcon } from '@jupyterlab/ui-components';
import { Widget } from '@lumino/widgets';

import { element } from '../dom';
import { usd } from '../format';
import { NotebookView } from './notebookview';
import { OpenNotebook } from './opennotebook';
import { noticesIn } from '../notices';
import { ISessions } from '../kernel/sessions';
import { ISettings } from '../settings';

const ID = 'llm-magic-panel';
/** The command that opens the side panel. */
export const OPEN_PANEL = 'llm-magic:open-panel';

/** A cassette. */
const icon = new LabIcon({
  name: 'llm-magic:cassette',
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">
  <g class="jp-icon3" fill="#616161">
    <path d="M4 5h16a2 2 0 0 1 2 2v10a2 2 0 0 1-2 2H4a2 2 0 0 1-2-2V7a2 2 0 0 1 2-2z
      M4 7v10h2.5l1.5-3h8l1.5 3H20V7z" fill-rule="evenodd"/>
    <circle cx="8.5" cy="10.5" r="1.8"/>
    <circle cx="15.5" cy="10.5" r="1.8"/>
  </g>
</svg>`
});

/** What is known of the notebook that people look at, on the right. */
class SidePanel extends Widget {
  constructor(
    private readonly _shell: JupyterFrontEnd.IShell,
    private readonly _tracker: INotebookTracker,
    private readonly _sessions: ISessions,
    private readonly _settings: ISettings,
    private readonly _trans: TranslationBundle
  ) {
    super();
    this.id = ID;
    this.addClass('jp-LlmMagic-panel');
    this.title.icon = icon;
    this.title.caption = _trans.__('llm-magic: cost, calls and recordings');
    this.node.tabIndex = -1;
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', this.title.caption);
    this._none.textContent = _trans.__('Open a notebook to see what its model calls cost.');
    this.node.append(this._none);
    _sessions.currentChanged.connect(this._onChanged, this);
    _settings.changed.connect(this._onChanged, this);
  }

  override dispose(): void {
    this._sessions.currentChanged.disconnect(this._onChanged, this);
    this._settings.changed.disconnect(this._onChanged, this);
    super.dispose();
  }

  protected override onAfterAttach(): void {
    this.update();
  }

  protected override onAfterShow(): void {
    this.update();
  }

  protected override onUpdateRequest(): void {
    const panel = this._tracker.currentWidget;
    const current = panel && !panel.isDisposed ? this._viewOf(panel) : null;
    for (const view of this._views.values()) {
      view.node.hidden = view !== current;
    }
    this._none.hidden = current !== null;
    current?.update();
  }

  /** Many messages in a row are one update, and none while nobody sees it. */
  private _onChanged(): void {
    if (this.isVisible) {
      this.update();
    }
  }

  /** One view a notebook: what people opened and typed there stays while they look at others. */
  private _viewOf(panel: NotebookPanel): NotebookView {
    let view = this._views.get(panel);
    if (!view) {
      const given = {
        session: this._sessions.of(panel),
        document: new OpenNotebook(panel, this._shell),
        trans: this._trans,
        decimals: () => this._settings.decimals,
        usd: (amount: string | null) => usd(amount, this._settings.decimals),
        copy: (text: string) => {
          Clipboard.copyToSystem(text);
        }
      };
      view = new NotebookView(given, noticesIn(this._trans));
      const { node } = view;
      this._views.set(panel, view);
      this.node.append(node);
      // Cells are told in their order, those that are gone last.
      panel.context.model.cells.changed.connect(this._onChanged, this);
      panel.disposed.connect(() => {
        node.remove();
        this._views.delete(panel);
      });
    }
    return view;
  }

  private readonly _views = new Map<NotebookPanel, NotebookView>();
  private readonly _none = element('p', { class: 'jp-LlmMagic-head' });
}

export const panel: JupyterFrontEndPlugin<void> = {
  id: 'llm-magic:panel',
  description: 'Shows cost, calls and recordings of the current notebook on the right',
  autoStart: true,
  requires: [INotebookTracker, ISessions, ISettings],
  optional: [ICommandPalette, ILayoutRestorer, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    tracker: INotebookTracker,
    sessions: ISessions,
    settings: ISettings,
    palette: ICommandPalette | null,
    restorer: ILayoutRestorer | null,
    translator: ITranslator | null
  ) => {
    const trans = (translator ?? nullTranslator).load('llm_magic');
    const widget = new SidePanel(app.shell, tracker, sessions, settings, trans);
    app.shell.add(widget, 'right', { rank: 900, type: 'llm-magic' });
    restorer?.add(widget, ID);
    app.commands.addCommand(OPEN_PANEL, {
      label: trans.__('Show Cost, Calls and Recordings'),
      icon,
      execute: () => {
        app.shell.activateById(ID);
        // Not wherever it is activated: JupyterLab does that, too, when it restores its layout.
        widget.node.focus();
      }
    });
    palette?.addItem({ command: OPEN_PANEL, category: 'llm-magic' });
  }
};
