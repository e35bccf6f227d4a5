import { Signal } from '@lumino/signaling';
import type { ISignal } from '@lumino/signaling';

import type { NotebookDocument } from './opennotebook';
import type { Session } from '../kernel/session';
import type { SavedCassette, VerifyReport } from '../kernel/types';

/** What can be done with a cassette. */
export type Work = 'save' | 'verify' | 'pack';

/** What became of it. */
export type Result =
  | { readonly of: 'save'; readonly saved: SavedCassette }
  | { readonly of: 'verify'; readonly report: VerifyReport }
  | { readonly of: 'pack'; readonly told: string }
  | { readonly of: 'stopped' }
  | { readonly of: 'running' }
  | { readonly of: 'failed'; readonly error: unknown };

/** Saves, verifies and packs a notebook's recordings, one at a time, and knows what came of it. */
export class CassetteWork {
  constructor(
    private readonly _session: Pick<Session, 'ask'>,
    private readonly _document: Pick<NotebookDocument, 'save' | 'revert' | 'running'>
  ) {}

  /** What is under way; null when nothing is. */
  get current(): Work | null {
    return this._current;
  }

  /** What came of the last one; null while one is under way, and before the first. */
  get result(): Result | null {
    return this._result;
  }

  /** What verifying said last; it stays while other work is done. */
  get report(): VerifyReport | null {
    return this._report;
  }

  /** One of them is another. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** Do it, unless something is under way. */
  async start(work: Work): Promise<void> {
    if (this._current !== null) {
      return;
    }
    const stopper = new AbortController();
    this._stopper = stopper;
    this._tell(work, null);
    let result: Result;
    try {
      result = await this._do(work, stopper.signal);
    } catch (error) {
      result = stopper.signal.aborted ? { of: 'stopped' } : { of: 'failed', error };
    }
    if (result.of === 'verify') {
      this._report = result.report;
    }
    this._tell(null, result);
  }

  /** Have the kernel stop what is under way. */
  stop(): void {
    this._stopper?.abort();
  }

  /** The kernel reads the saved file, and packing changes it: hence the order. */
  private async _do(work: Work, stop: AbortSignal): Promise<Result> {
    if (work === 'pack' && this._document.running) {
      // The cells are made anew from the file, and what this one shows would come to none of them.
      return { of: 'running' };
    }
    if (work !== 'save') {
      await this._document.save();
      stop.throwIfAborted();
    }
    const found = await this._session.ask({ type: work }, stop);
    switch (work) {
      case 'save':
        return { of: work, saved: found as SavedCassette };
      case 'verify':
        // Stopped right at its start, it may tell of a kernel that died.
        stop.throwIfAborted();
        return { of: work, report: found as VerifyReport };
      case 'pack':
        await this._document.revert();
        return { of: work, told: found as string };
    }
  }

  private _tell(current: Work | null, result: Result | null): void {
    this._current = current;
    this._result = result;
    this._changed.emit();
  }

  private _current: Work | null = null;
  private _result: Result | null = null;
  private _report: VerifyReport | null = null;
  private _stopper: AbortController | null = null;
  private readonly _changed = new Signal<this, void>(this);
}
