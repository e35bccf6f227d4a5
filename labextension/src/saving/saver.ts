import { PathExt } from '@jupyterlab/coreutils';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { IDisposable } from '@lumino/disposable';
import type { ISignal } from '@lumino/signaling';

import { KernelGoneError } from '../kernel/kernel';
import type { Session } from '../kernel/session';
import type { SavedCassette } from '../kernel/types';
import type { Notices } from '../notices';
import { errorText } from '../panel/wording';

/** As long as this a listing is waited for; then the kernel hears of a new name all the same. */
const PATIENCE = 2000; // milliseconds

/** The part of a notebook's file that is needed here; tests give another one. */
export interface File {
  readonly path: string;
  readonly saveState: ISignal<unknown, string>;
  readonly pathChanged: ISignal<unknown, string>;
}

/**
 * Saves a notebook's cassette when the notebook is saved, and tells when that changed it.
 *
 * A notebook may be saved before the kernel has said anything to this page, as while a cell runs:
 * the cassette is then saved once it has.
 */
export class Saver implements IDisposable {
  /**
   * @param _file - the notebook's file
   * @param _session - the notebook's session
   * @param _wanted - whether it is to be done without being asked for, as of now
   * @param _listed - waits until the file browser has listed its folder anew
   * @param _notices - how people are told
   * @param _trans - translates
   */
  constructor(
    private readonly _file: File,
    private readonly _session: Pick<Session, 'isOpen' | 'state' | 'changed' | 'ask' | 'renamed'>,
    private readonly _wanted: () => boolean,
    private readonly _listed: () => Promise<void>,
    private readonly _notices: Notices,
    private readonly _trans: TranslationBundle
  ) {
    _file.saveState.connect(this._onSaveState, this);
    _file.pathChanged.connect(this._onPathChanged, this);
    _session.changed.connect(this._saveDue, this);
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  /** Save it now, and tell in any case. */
  async save(): Promise<void> {
    await this._save(true);
  }

  dispose(): void {
    if (this._isDisposed) {
      return;
    }
    this._isDisposed = true;
    this._file.saveState.disconnect(this._onSaveState, this);
    this._file.pathChanged.disconnect(this._onPathChanged, this);
    this._session.changed.disconnect(this._saveDue, this);
  }

  private _onSaveState(_: unknown, state: string): void {
    if (state === 'completed') {
      this._isDue = true;
      this._saveDue();
    }
  }

  private _saveDue(): void {
    if (this._isDue && this._session.state) {
      this._isDue = false;
      if (this._isNotebook && this._wanted()) {
        void this._save(false);
      }
    }
  }

  private _onPathChanged(): void {
    if (this._session.isOpen && this._isNotebook) {
      void this._renamed();
    }
  }

  /** Scripts that are shown as notebooks have no cassette. */
  private get _isNotebook(): boolean {
    return PathExt.extname(this._file.path) === '.ipynb';
  }

  private async _renamed(): Promise<void> {
    try {
      const told = await this._session.renamed(this._settled());
      void this._settled();
      if (told !== null) {
        this._notices.info(`llm-magic: ${told}`);
      }
    } catch (error) {
      this._failed(error, false);
    }
  }

  /**
   * The file browser has listed the folder, or cannot.
   *
   * A file that goes while the server lists its folder makes the file browser say that the folder
   * is gone, and leave it; and it lists the folder after a renaming.
   */
  private async _settled(): Promise<void> {
    const late = new Promise<void>(done => setTimeout(done, PATIENCE));
    const listed = this._listed().catch(() => {
      // What is wrong with the folder the file browser tells itself.
    });
    await Promise.race([listed, late]);
  }

  private async _save(askedFor: boolean): Promise<void> {
    if (askedFor) {
      this._lastProblem = null;
    }
    try {
      const saved = (await this._session.ask({ type: 'save' })) as SavedCassette;
      this._lastProblem = null;
      if (askedFor || saved.added + saved.replaced + saved.removed > 0) {
        this._notices.info(savedText(saved, this._trans));
      }
    } catch (error) {
      this._failed(error, askedFor);
    }
  }

  private _failed(error: unknown, askedFor: boolean): void {
    const text = errorText(error, this._trans);
    const isNews = askedFor || !(error instanceof KernelGoneError);
    // Notebooks are saved every other minute: the same news is told once.
    if (isNews && text !== this._lastProblem) {
      this._lastProblem = text;
      this._notices.error(`llm-magic: ${text}`);
    }
  }

  private _lastProblem: string | null = null;
  private _isDue = false;
  private _isDisposed = false;
}

/** What a save did, and what to do about it. */
export function savedText(saved: SavedCassette, trans: TranslationBundle): string {
  const changes = [
    saved.added ? trans.__('%1 new', saved.added) : '',
    saved.replaced ? trans.__('%1 replaced', saved.replaced) : '',
    saved.removed ? trans.__('%1 removed', saved.removed) : ''
  ].filter(Boolean);
  let told = trans.__('%1 is up to date', saved.name);
  if (changes.length) {
    told = trans.__('%1 saved: %2', saved.name, changes.join(', '));
  } else if (!saved.total) {
    told = trans.__('Nothing is recorded yet, so %1 has no answers', saved.name);
  }
  return saved.advice ? `${told}. ${saved.advice}` : told;
}
