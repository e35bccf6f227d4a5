import type { JupyterFrontEndPlugin } from '@jupyterlab/application';
import { IToolbarWidgetRegistry } from '@jupyterlab/apputils';
import type { NotebookPanel } from '@jupyterlab/notebook';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import type { TranslationBundle } from '@jupyterlab/translation';
import { caretDownEmptyIcon } from '@jupyterlab/ui-components';
import type { Message } from '@lumino/messaging';
import { Widget } from '@lumino/widgets';

import { element } from '../dom';
import { MODES } from './mode';
import type { NotebookMode } from './mode';
import { IModes } from './modes';
import { noticesIn } from '../notices';
import type { Mode } from '../kernel/types';
import { errorText, modeMeaning } from '../panel/wording';

/** Choose a mode, and tell when that failed. */
export async function choose(
  mode: NotebookMode,
  wanted: Mode | null,
  trans: TranslationBundle
): Promise<void> {
  try {
    await mode.choose(wanted);
  } catch (error) {
    mode.refresh();
    noticesIn(trans).error(`llm-magic: ${errorText(error, trans)}`);
  }
}

/** The switch in a notebook's toolbar. It shows what the kernel says, never what was clicked. */
class ModeSwitch extends Widget {
  /**
   * @param _mode - the notebook's mode
   * @param _trans - translates
   */
  constructor(
    private readonly _mode: NotebookMode,
    private readonly _trans: TranslationBundle
  ) {
    super();
    this.addClass('jp-LlmMagic-mode');
    const option = (value: string, text: string): HTMLOptionElement =>
      element('option', { value }, text);
    this._select = element(
      'select',
      { 'aria-label': _trans.__('Replay mode of llm-magic') },
      ...MODES.map(one => option(one, one)),
      option('', _trans.__("kernel's own"))
    );
    const caret = caretDownEmptyIcon.element({
      tag: 'span',
      stylesheet: 'select',
      right: '4px',
      top: '4px'
    });
    this.node.append(
      element('span', { 'aria-hidden': 'true' }, 'llm-magic'),
      element('div', { class: 'jp-HTMLSelect jp-DefaultStyle' }, this._select, caret)
    );
    _mode.changed.connect(this._show, this);
    this._show();
  }

  handleEvent(event: Event): void {
    if (event.type === 'change') {
      void choose(this._mode, (this._select.value as Mode | '') || null, this._trans);
    } else {
      // The toolbar would take the focus away from what is inside of it.
      event.stopPropagation();
    }
  }

  override dispose(): void {
    if (!this._mode.isDisposed) {
      this._mode.changed.disconnect(this._show, this);
    }
    super.dispose();
  }

  protected override onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    this._select.addEventListener('change', this);
    this._select.addEventListener('focus', this);
  }

  protected override onBeforeDetach(message: Message): void {
    this._select.removeEventListener('change', this);
    this._select.removeEventListener('focus', this);
    super.onBeforeDetach(message);
  }

  private _show(): void {
    const { mode, pinned, isLoaded } = this._mode;
    for (const option of this._select.options) {
      option.disabled = !this._mode.offers((option.value as Mode | '') || null);
    }
    this._select.value = mode ?? '';
    this._select.disabled = pinned !== null;
    let about = mode ? modeMeaning(mode, this._trans) : this._trans.__('what the kernel is set to');
    if (pinned) {
      about = this._trans.__('%1 is set from outside: %2', pinned.mode, pinned.reason);
    } else if (!isLoaded) {
      about += this._trans.__('; llm-magic is not loaded here yet');
    }
    this._select.setAttribute('aria-description', about);
    this._select.title = about;
    this.node.title = about;
  }

  private readonly _select: HTMLSelectElement;
}

export const modeSwitch: JupyterFrontEndPlugin<void> = {
  id: 'llm-magic:mode-switch',
  description: 'A switch for the replay mode in the toolbar of notebooks',
  autoStart: true,
  requires: [IModes],
  optional: [IToolbarWidgetRegistry, ITranslator],
  activate: (
    _,
    modes: IModes,
    toolbars: IToolbarWidgetRegistry | null,
    translator: ITranslator | null
  ) => {
    const trans = (translator ?? nullTranslator).load('llm_magic');
    toolbars?.addFactory<NotebookPanel>(
      'Notebook',
      'llm-magic-mode',
      panel => new ModeSwitch(modes.of(panel), trans)
    );
  }
};
