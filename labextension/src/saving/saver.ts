import type { TranslationBundle } from '@jupyterlab/translation';
import type { IDisposable } from '@lumino/disposable';
import type { ISignal } from '@lumino/signaling';

import { KernelGoneError } from '../kernel/kernel';
import type { Session } from '../kernel/session';
import type { SavedCassette } from '../kernel/types';
import { errorText } from '../panel/wording';

/** The part of a notebook's file that is needed here; tests give another one. */
export interface File {
  readonly saveState: ISignal<unknown, string>;
  readonly pathChanged: ISignal<unknown, string>;
}

/** How people are told. */
export interface Notices {
  info(text: string): void;
  error(text: string): void;
}

/** Saves a notebook's cassette when the notebook is saved, and tells when that changed it. */
export class Saver implements IDisposable {
  /**
   * @param _file - the notebook's file
   * @param _session - the notebook's session
   * @param _name - its name without `.ipynb`, as of now
   * @param _wanted - whether it is to be done without being asked for, as of now
   * @param _listed - waits until the file browser has listed its folder anew
   * @param _notices - how people are told
   * @param _trans - translates
   */
  constructor(
    private readonly _file: File,
    private readonly _session: Pick<Session, 'state' | 'ask'>,
    private readonly _name: () => string,
    private readonly _wanted: () => boolean,
    private readonly _listed: () => Promise<void>,
    private readonly _notices: Notices,
    private readonly _trans: TranslationBundle
  ) {
    _file.saveState.connect(this._onSaveState, this);
    _file.pathChanged.connect(this._onPathChanged, this);
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
  }

  private _onSaveState(_: unknown, state: string): void {
    if (state === 'completed' && this._session.state && this._wanted()) {
      void this._save(false);
    }
  }

  private _onPathChanged(): void {
    if (this._session.state) {
      this._underItsName = this._renamed();
    }
  }

  private async _renamed(): Promise<void> {
    try {
      // A file that goes while the server lists its folder makes the file browser say that the
      // folder is gone, and leave it; and it lists the folder after a renaming.
      await this._listed();
      const told = await this._session.ask({ type: 'renamed', notebook: this._name() });
      void this._listed();
      if (typeof told === 'string') {
        this._notices.info(`llm-magic: ${told}`);
      }
    } catch (error) {
      this._failed(error, false);
    }
  }

  private async _save(askedFor: boolean): Promise<void> {
    if (askedFor) {
      this._lastProblem = null;
    }
    // What was recorded belongs to the old name until the kernel has heard of the new one.
    await this._underItsName;
    try {
      const asked = { type: 'save', notebook: this._name() } as const;
      const saved = (await this._session.ask(asked)) as SavedCassette;
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
  private _underItsName: Promise<void> = Promise.resolve();
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
