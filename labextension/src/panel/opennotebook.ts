import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { ICellModel, ICodeCellModel } from '@jupyterlab/cells';
import type { NotebookPanel } from '@jupyterlab/notebook';

import { OURS } from '../modes/metadata';
import type { Context } from '../kernel/pernotebook';
import { notebookName } from '../kernel/sessions';
import { begins } from './wording';

/** A cell, as calls and reports name it: by its id, or by its first line where that is all. */
export interface CellPlace {
  readonly id: string | null;
  readonly line: string | null;
}

/** What the side panel wants of an open notebook; tests give another one. */
export interface NotebookDocument {
  /** Its name without `.ipynb`. */
  readonly name: string;
  /** The ids of its code cells, in their order: the first is cell 1, as where it is verified. */
  cells(): readonly string[];
  /** Whether one of its cells runs, or waits to. */
  readonly running: boolean;
  /** Have the disk hold what people see; rejected when it cannot be written. */
  save(): Promise<void>;
  /** Take what llm-magic wrote into the file from there; what people edited meanwhile stays. */
  revert(): Promise<void>;
  /** Bring a cell into sight and select it; false when it is not in the notebook any more. */
  show(cell: CellPlace): boolean;
}

/** A notebook in JupyterLab. */
export class OpenNotebook implements NotebookDocument {
  constructor(
    private readonly _panel: NotebookPanel,
    private readonly _shell: JupyterFrontEnd.IShell
  ) {}

  get name(): string {
    return notebookName(this._panel.context);
  }

  cells(): readonly string[] {
    return this._panel.content.widgets
      .filter(({ model }) => model.type === 'code')
      .map(({ model }) => model.id);
  }

  get running(): boolean {
    return this._panel.content.widgets.some(({ model }) => isRunning(model));
  }

  async save(): Promise<void> {
    await save(this._panel.context);
  }

  async revert(): Promise<void> {
    const { context } = this._panel;
    const edited = context.model.dirty ? context.model.toJSON() : null;
    await context.revert();
    if (edited) {
      const packed: unknown = context.model.getMetadata(OURS);
      context.model.fromJSON(edited);
      if (packed !== undefined) {
        context.model.setMetadata(OURS, packed);
      }
    }
  }

  show(cell: CellPlace): boolean {
    const notebook = this._panel.content;
    const index = notebook.widgets.findIndex(({ model }) =>
      cell.id === null ? begins(model.sharedModel.getSource(), cell.line) : model.id === cell.id
    );
    if (index < 0) {
      return false;
    }
    this._shell.activateById(this._panel.id);
    notebook.activeCellIndex = index;
    notebook.deselectAll();
    notebook.scrollToItem(index, 'smart').catch(() => {
      // It scrolled elsewhere meanwhile, or the notebook was closed.
    });
    return true;
  }
}

/** Whether a cell runs; before JupyterLab 4.3 nobody knows. */
function isRunning(model: ICellModel): boolean {
  return (model as Partial<ICodeCellModel>).executionState === 'running';
}

/** Have the disk hold what people see. One that cannot be written may be as it is there already. */
export async function save(context: Context): Promise<void> {
  if (context.model.dirty) {
    await context.save();
  }
}
