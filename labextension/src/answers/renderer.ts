import type { JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Clipboard } from '@jupyterlab/apputils';
import { INotebookTracker } from '@jupyterlab/notebook';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import type { TranslationBundle } from '@jupyterlab/translation';
import { Widget } from '@lumino/widgets';

import { answerView } from './answerview';
import type { AnswerTools } from './answerview';
import { KernelGoneError } from '../kernel/kernel';
import { MIME_TYPE } from './provenance';
import type { Session } from '../kernel/session';
import { ISessions } from '../kernel/sessions';
import { ISettings } from '../settings';
import type { CallDetail } from '../kernel/types';

/** Before that of text/html, whose rank is 50, and which stands beside it. */
const RANK = 40;

/** An answer as an output of a cell. */
class RenderedAnswer extends Widget implements IRenderMime.IRenderer {
  /**
   * @param _tools - what the view works with
   * @param _settings - has it shown anew when amounts are shown otherwise
   * @param _typesetter - shows formulas
   */
  constructor(
    private readonly _tools: AnswerTools,
    private readonly _settings: ISettings,
    private readonly _typesetter: IRenderMime.ILatexTypesetter | null
  ) {
    super();
    _settings.changed.connect(this._onSettings, this);
    this.addClass('jp-RenderedHTMLCommon');
    this.addClass('jp-RenderedHTML');
    this.addClass('jp-LlmMagic-answer');
    this.node.dataset.mimeType = MIME_TYPE;
  }

  /** Show an output. */
  renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    this._shown = { model, decimals: this._settings.decimals };
    this.node.replaceChildren(answerView(model.data, this._tools));
    if (this.isAttached) {
      this._typeset();
    }
    return Promise.resolve();
  }

  override dispose(): void {
    this._settings.changed.disconnect(this._onSettings, this);
    super.dispose();
  }

  protected override onAfterAttach(): void {
    this._typeset();
  }

  private _onSettings(): void {
    if (this._shown && this._shown.decimals !== this._settings.decimals) {
      void this.renderModel(this._shown.model);
    }
  }

  private _typeset(): void {
    const typeset = this._typesetter?.typeset(this.node);
    if (typeset instanceof Promise) {
      typeset.catch(() => {
        // Formulas stay as they were written.
      });
    }
  }

  private _shown: { model: IRenderMime.IMimeModel; decimals: number } | null = null;
}

/** Shows answers, with all that is known of where they came from. */
export const renderer: JupyterFrontEndPlugin<void> = {
  id: 'llm-magic:renderer',
  description: 'Shows answers with their request, price and attempts',
  autoStart: true,
  requires: [IRenderMimeRegistry, ISettings],
  optional: [INotebookTracker, ISessions, ITranslator],
  activate: (
    _,
    registry: IRenderMimeRegistry,
    settings: ISettings,
    tracker: INotebookTracker | null,
    sessions: ISessions | null,
    translator: ITranslator | null
  ) => {
    const trans = (translator ?? nullTranslator).load('llm_magic');
    /** That of the notebook which a node is in. */
    const sessionOf = (node: Node): Session | null => {
      const panel = tracker?.find(panel => panel.node.contains(node));
      return (panel && sessions?.of(panel)) ?? null;
    };
    registry.addFactory({
      safe: true,
      mimeTypes: [MIME_TYPE],
      defaultRank: RANK,
      createRenderer: ({ latexTypesetter }) => {
        const made: RenderedAnswer = new RenderedAnswer(
          {
            trans,
            get decimals() {
              return settings.decimals;
            },
            detail: (key, ordinal) => detail(sessionOf(made.node), key, ordinal, trans),
            copy: text => {
              Clipboard.copyToSystem(text);
            }
          },
          settings,
          latexTypesetter
        );
        return made;
      }
    });
  }
};

/** Ask a session for a recording. */
async function detail(
  session: Session | null,
  key: string,
  ordinal: number,
  trans: TranslationBundle
): Promise<CallDetail> {
  try {
    if (!session) {
      throw new KernelGoneError();
    }
    return (await session.ask({ type: 'call', key, ordinal })) as CallDetail;
  } catch (error) {
    if (error instanceof KernelGoneError) {
      throw new Error(
        trans.__('Run %load_ext llm_magic in this notebook: its kernel knows the recording.')
      );
    }
    throw error;
  }
}
