import type { INotebookModel } from '@jupyterlab/notebook';

import type { Mode } from '../kernel/types';

/** Under this name llm-magic keeps what it keeps in a notebook. */
export const OURS = 'llm_magic';
const KEPT: readonly unknown[] = ['REPLAY', 'FALLBACK', 'DISABLED'];

/** The mode that a notebook carries; null where it carries none, or one that is never kept. */
export function readMode(model: INotebookModel): Mode | null {
  return keptMode(ours(model).mode);
}

/** A mode that is kept in notebooks and settings; null for anything else. */
export function keptMode(found: unknown): Mode | null {
  return KEPT.includes(found) ? (found as Mode) : null;
}

/** Have the notebook carry a mode. CAPTURE is never kept: opening a notebook must not cost money. */
export function writeMode(model: INotebookModel, mode: Mode | null): void {
  const kept = ours(model);
  delete kept.mode;
  if (KEPT.includes(mode)) {
    kept.mode = mode;
  }
  if (Object.keys(kept).length) {
    model.setMetadata(OURS, kept);
  } else {
    model.deleteMetadata(OURS);
  }
}

/** What llm-magic keeps in a notebook's metadata; its cassette, too, when it is packed. */
function ours(model: INotebookModel): Record<string, unknown> {
  const found: unknown = model.getMetadata(OURS);
  return typeof found === 'object' && found !== null ? { ...found } : {};
}
