import type { Language, LanguageSupport } from '@codemirror/language';
import { Compartment, EditorState, Prec, RangeSetBuilder } from '@codemirror/state';
import type { Extension, Text } from '@codemirror/state';
import { Decoration, ViewPlugin } from '@codemirror/view';
import type { DecorationSet, EditorView, ViewUpdate } from '@codemirror/view';
import type { JupyterFrontEndPlugin } from '@jupyterlab/application';
import type { ICellModel } from '@jupyterlab/cells';
import type { CodeEditor } from '@jupyterlab/codeeditor';
import {
  EditorExtensionRegistry,
  IEditorExtensionRegistry,
  IEditorLanguageRegistry
} from '@jupyterlab/codemirror';

import { isPrompt, optionsOf, placeholders } from './placeholders';
import type { Judge } from './placeholders';
import { judgeWith, promptLanguage } from './promptlanguage';

/** What is needed to show prompts, once Lab has loaded it. */
interface Languages {
  readonly prompt: Language;
  /** What Lab adds to Markdown: the Enter key goes on with a list. */
  readonly markdown: LanguageSupport;
  readonly judge: Judge;
}

/** Cells that begin with `%%complete` read as prompts, not as Python with errors. */
export const prompts: JupyterFrontEndPlugin<void> = {
  id: 'llm-magic:prompts',
  description: 'Shows %%complete cells as prompts in Markdown',
  autoStart: true,
  requires: [IEditorExtensionRegistry, IEditorLanguageRegistry],
  activate: (_, extensions: IEditorExtensionRegistry, registry: IEditorLanguageRegistry) => {
    const prompts = new Prompts(load(registry));
    extensions.addExtension({
      name: 'llm-magic-prompts',
      factory: ({ model }) =>
        isCode(model)
          ? EditorExtensionRegistry.createImmutableExtension(
              prompts.extension(model.sharedModel.getSource())
            )
          : null
    });
  }
};

/** Whether it is the model of a code cell: text cells and files have no prompts. */
function isCode(model: CodeEditor.IModel): boolean {
  return (model as Partial<ICellModel>).type === 'code';
}

async function load(registry: IEditorLanguageRegistry): Promise<Languages | null> {
  const [markdown, python] = await Promise.all([
    registry.getLanguage('ipythongfm'),
    registry.getLanguage('python')
  ]);
  return markdown?.support && python?.support
    ? {
        prompt: promptLanguage(markdown.support.language.parser),
        markdown: markdown.support,
        judge: judgeWith(python.support.language.parser)
      }
    : null;
}

/**
 * What makes an editor show prompts, for as long as its text is one.
 *
 * The model's mime type is left alone: notebooks set it again whenever the kernel tells its
 * language, and other extensions go by it.
 */
class Prompts {
  constructor(loading: Promise<Languages | null>) {
    this._loaded = loading.then(
      languages => {
        this._languages = languages;
      },
      () => {
        // Without Markdown the cells look as they do without us.
      }
    );
  }

  /** The extension of an editor that begins with this text. */
  extension(source: string): Extension {
    return [this._place.of(this._content(isPrompt(source))), this._follow(), this._wait()];
  }

  /** When the first line becomes that of a prompt, or is one no more. */
  private _follow(): Extension {
    return EditorState.transactionExtender.of(transaction => {
      if (!transaction.docChanged) {
        return null;
      }
      const now = startsPrompt(transaction.newDoc);
      return now === startsPrompt(transaction.startState.doc)
        ? null
        : { effects: this._place.reconfigure(this._content(now)) };
    });
  }

  /** Editors that were there before Markdown was. */
  private _wait(): Extension {
    return this._languages
      ? []
      : ViewPlugin.define(view => {
          let isThere = true;
          void this._loaded.then(() => {
            if (isThere) {
              const content = this._content(startsPrompt(view.state.doc));
              view.dispatch({ effects: this._place.reconfigure(content) });
            }
          });
          return {
            destroy: () => {
              isThere = false;
            }
          };
        });
  }

  private _content(isPrompt: boolean): Extension {
    if (!isPrompt || !this._languages) {
      return [];
    }
    const { prompt, markdown, judge } = this._languages;
    // Of several languages the first counts.
    return [Prec.highest(prompt.extension), markdown.support, marks(judge)];
  }

  private readonly _place = new Compartment();
  private readonly _loaded: Promise<void>;
  private _languages: Languages | null = null;
}

/** As much of the beginning of a text as tells whether it is a prompt. */
function startsPrompt(text: Text): boolean {
  return isPrompt(text.sliceString(0, 500));
}

const FIRST_LINE = Decoration.line({ class: 'jp-LlmMagic-options' });
const MAGIC = Decoration.mark({ class: 'jp-LlmMagic-magic' });
const PLACEHOLDER = Decoration.mark({ class: 'jp-LlmMagic-placeholder' });

/** Marks the first line and the placeholders. */
function marks(judge: Judge): Extension {
  return ViewPlugin.define(
    view => {
      const plugin = {
        decorations: decorate(view, judge),
        update: ({ docChanged, view }: ViewUpdate) => {
          if (docChanged) {
            plugin.decorations = decorate(view, judge);
          }
        }
      };
      return plugin;
    },
    { decorations: plugin => plugin.decorations }
  );
}

function decorate(view: EditorView, judge: Judge): DecorationSet {
  const source = view.state.doc.toString();
  const builder = new RangeSetBuilder<Decoration>();
  const start = source.indexOf('%%complete');
  if (optionsOf(source) !== null) {
    builder.add(view.state.doc.lineAt(start).from, view.state.doc.lineAt(start).from, FIRST_LINE);
    builder.add(start, start + '%%complete'.length, MAGIC);
  }
  for (const { from, to } of placeholders(source, judge)) {
    builder.add(from, to, PLACEHOLDER);
  }
  return builder.finish();
}
