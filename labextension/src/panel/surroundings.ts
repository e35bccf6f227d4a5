import type { TranslationBundle } from '@jupyterlab/translation';

import type { CellPlace, NotebookDocument } from './opennotebook';
import type { Session } from '../kernel/session';

/** What every section of the side panel works with: one notebook, and how to say things of it. */
export interface Surroundings {
  readonly session: Pick<Session, 'state' | 'problem' | 'calls' | 'ask'>;
  readonly document: NotebookDocument;
  readonly trans: TranslationBundle;
  /** Digits after the point of amounts, as people set them now. */
  decimals(): number;
  /** An amount of money in words, with as many. */
  usd(amount: string | null): string;
  /** Put a text into the clipboard. */
  copy(text: string): void;
  /** Show a cell, or say that it is gone. */
  jump(cell: CellPlace): void;
}
