import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { CodeCell } from '@jupyterlab/cells';
import type { ICodeCellModel } from '@jupyterlab/cells';
import type { DocumentRegistry } from '@jupyterlab/docregistry';
import type { INotebookModel, NotebookPanel } from '@jupyterlab/notebook';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { IDisposable } from '@lumino/disposable';
import { Signal } from '@lumino/signaling';
import { PanelLayout, Widget } from '@lumino/widgets';

import { badge, tellsMisuse } from './badge';
import type { Answered, Badge } from './badge';
import { MIME_TYPE, readProvenance } from './provenance';
import { isPrompt } from '../prompts/placeholders';
import { ISettings } from '../settings';
import type { Provenance } from '../kernel/types';

/** Cells with answers say where these came from, and what they cost. */
export const badges: JupyterFrontEndPlugin<void> = {
  id: 'llm-magic:badges',
  description: 'Shows at each cell whether its answer is live or replayed, and what it cost',
  autoStart: true,
  requires: [ISettings],
  optional: [ITranslator],
  activate: (app: JupyterFrontEnd, settings: ISettings, translator: ITranslator | null) => {
    const trans = (translator ?? nullTranslator).load('llm_magic');
    const extension: DocumentRegistry.IWidgetExtension<NotebookPanel, INotebookModel> = {
      createNew: panel => new NotebookBadges(panel, settings, trans)
    };
    app.docRegistry.addWidgetExtension('Notebook', extension);
  }
};

/** The badges of one notebook: each code cell that is there has one, which may have nothing to say. */
class NotebookBadges implements IDisposable {
  constructor(
    private readonly _panel: NotebookPanel,
    private readonly _settings: ISettings,
    private readonly _trans: TranslationBundle
  ) {
    _panel.content.modelChanged.connect(this._onModelChanged, this);
    _settings.changed.connect(this._onSettings, this);
    this._onModelChanged();
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  dispose(): void {
    if (this._isDisposed) {
      return;
    }
    this._isDisposed = true;
    for (const badge of this._badges.values()) {
      badge.dispose();
    }
    Signal.clearData(this);
  }

  private _onModelChanged(): void {
    this._panel.content.model?.cells.changed.connect(this._onCells, this);
    this._onCells();
  }

  private _onSettings(): void {
    for (const badge of this._badges.values()) {
      badge.refresh();
    }
  }

  private _onCells(): void {
    for (const [cell, badge] of this._badges) {
      if (cell.isDisposed) {
        badge.dispose();
        this._badges.delete(cell);
      }
    }
    for (const cell of this._panel.content.widgets) {
      if (cell instanceof CodeCell && !this._badges.has(cell)) {
        this._badges.set(cell, new CellBadge(cell, this._settings, this._trans));
      }
    }
  }

  private _isDisposed = false;
  private readonly _badges = new Map<CodeCell, CellBadge>();
}

/** Follows the outputs and the source of one cell. */
class CellBadge implements IDisposable {
  constructor(
    private readonly _cell: CodeCell,
    private readonly _settings: ISettings,
    private readonly _trans: TranslationBundle
  ) {
    this._model = _cell.model;
    this._model.outputs.changed.connect(this._onOutputs, this);
    this._model.contentChanged.connect(this.refresh, this);
    this._look();
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  dispose(): void {
    if (this._isDisposed) {
      return;
    }
    this._isDisposed = true;
    if (this._frame !== null) {
      cancelAnimationFrame(this._frame);
    }
    this._widget?.dispose();
    Signal.clearData(this);
  }

  /** Show what there is to say now. */
  refresh(): void {
    const { badges, decimals } = this._settings;
    // Most cells have no answers: nothing is looked at while people type in them.
    const speaks = badges && (this._answered.answers.length > 0 || this._answered.failed);
    const said = speaks
      ? badge(this._answered, this._model.sharedModel.getSource(), this._trans, decimals)
      : null;
    if (said) {
      this._show(said);
    } else {
      this._widget?.hide();
    }
  }

  /** A cell may have a thousand outputs that come one by one: look once for each frame. */
  private _onOutputs(): void {
    this._frame ??= requestAnimationFrame(() => {
      this._frame = null;
      this._look();
    });
  }

  private _look(): void {
    this._answered = answered(this._model);
    this.refresh();
  }

  private _show(said: Badge): void {
    if (this._widget) {
      this._widget.show();
      this._widget.say(said);
      return;
    }
    const widget = new BadgeWidget();
    this._widget = widget;
    widget.say(said);
    // In a windowed notebook a cell has no content before it is seen for the first time.
    void this._cell.ready.then(() => {
      if (!widget.isDisposed && this._cell.layout instanceof PanelLayout) {
        // Behind header and input.
        this._cell.layout.insertWidget(2, widget);
      }
    });
  }

  private readonly _model: ICodeCellModel;
  private _answered: Answered = { answers: [], failed: false };
  private _widget: BadgeWidget | null = null;
  private _frame: number | null = null;
  private _isDisposed = false;
}

/** A badge in the page: a line without height, on which the text stands at the right. */
class BadgeWidget extends Widget {
  constructor() {
    super();
    this.addClass('jp-LlmMagic-badgeLine');
    this._text.className = 'jp-LlmMagic-badge';
    this._text.setAttribute('role', 'note');
    this.node.append(this._text);
  }

  /** Show a badge. */
  say({ kind, text, details }: Badge): void {
    this._text.dataset.kind = kind;
    if (this._text.textContent !== text) {
      this._text.textContent = text;
    }
    this._text.title = details;
    this._text.setAttribute('aria-label', `llm-magic: ${text}`);
  }

  private readonly _text = document.createElement('span');
}

/** The answers among a cell's outputs, and whether there is an error. */
function answered({ outputs, sharedModel }: ICodeCellModel): Answered {
  const answers: Provenance[] = [];
  let failed = false;
  // Only then: what other cells print may be long, and is none of ours.
  const mayMisuse = isPrompt(sharedModel.getSource());
  for (let index = 0; index < outputs.length; index++) {
    const output = outputs.get(index);
    if (output.type === 'error') {
      failed = true;
    } else if (output.type === 'stream' && mayMisuse) {
      failed ||= tellsMisuse(output.toJSON() as Record<string, unknown>);
    } else if (output.type === 'display_data' || output.type === 'execute_result') {
      // Not `output.data`, which copies all of it.
      const data = output.toJSON().data as Record<string, unknown> | undefined;
      if (data && MIME_TYPE in data) {
        answers.push(readProvenance(data[MIME_TYPE]));
      }
    }
  }
  return { answers, failed };
}
