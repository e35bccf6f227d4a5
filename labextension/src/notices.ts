/** How people are told of what happened, in JupyterLab's own way. */

import { Dialog, Notification, showDialog } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { Widget } from '@lumino/widgets';

import { element } from './dom';

/** How people are told; tests give another one. */
export interface Notices {
  info(text: string): void;
  error(text: string): void;
}

/** JupyterLab cuts a notice that has more characters. */
const LONGEST = 140;
/** Milliseconds that there are to read a notice, and to have all of a long one shown. */
const SHOWN = { info: 3_000, error: 5_000, long: 10_000 };

/** Notices that go by themselves; a long one has a button that shows all of it. */
export function noticesIn(trans: TranslationBundle): Notices {
  const tell = (kind: 'info' | 'error', text: string): void => {
    if (text.length <= LONGEST) {
      Notification[kind](text, { autoClose: SHOWN[kind] });
      return;
    }
    const all = { label: trans.__('Show all'), callback: () => void showAll(text, trans) };
    Notification[kind](text, { autoClose: SHOWN.long, actions: [all] });
  };
  return {
    info: text => {
      tell('info', text);
    },
    error: text => {
      tell('error', text);
    }
  };
}

async function showAll(text: string, trans: TranslationBundle): Promise<void> {
  await showDialog({
    title: 'llm-magic',
    body: new Widget({ node: element('p', { class: 'jp-LlmMagic-wholeNotice' }, text) }),
    buttons: [Dialog.okButton({ label: trans.__('Close') })]
  });
}
