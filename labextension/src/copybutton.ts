import type { TranslationBundle } from '@jupyterlab/translation';

import { button } from './dom';

/** What a button that copies works with. */
export interface CopyTools {
  readonly trans: TranslationBundle;
  /** Put a text into the clipboard. */
  copy(text: string): void;
}

/** A button that copies a text, and says for a moment that it did. */
export function copyButton(
  content: () => string,
  { trans, copy }: CopyTools,
  attributes: Record<string, string> = {}
): HTMLButtonElement {
  const short = trans.__('Copy');
  const made = button(
    short,
    () => {
      copy(content());
      made.textContent = trans.__('Copied');
      setTimeout(() => {
        made.textContent = short;
      }, 2_000);
    },
    attributes
  );
  return made;
}
