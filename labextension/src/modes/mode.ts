import type { IDisposable } from '@lumino/disposable';
import { Signal } from '@lumino/signaling';
import type { ISignal } from '@lumino/signaling';

import type { Session } from '../kernel/session';
import type { Mode, Pinned } from '../kernel/types';

/** All modes, in the order in which they are offered. */
export const MODES: readonly Mode[] = ['REPLAY', 'FALLBACK', 'CAPTURE', 'DISABLED'];

/** Where a notebook keeps its mode. */
export interface Keeper {
  /** The mode that the notebook carries; null where it says nothing. */
  read(): Mode | null;
  /** Have the notebook carry a mode; null takes it away. */
  write(mode: Mode | null): void;
}

/** A mode that counts until what is done in it has ended, and the one that was set before. */
interface Held {
  readonly mode: Mode;
  before: Mode | null;
  readonly kernel: string | null;
  users: number;
}

/**
 * The mode of one notebook: what the kernel says, or what it will begin with.
 */
export class NotebookMode implements IDisposable {
  /**
   * @param _session - what the kernel says
   * @param _keeper - the notebook's metadata
   * @param _default - the mode of notebooks that say nothing, as of now
   */
  constructor(
    private readonly _session: Session,
    private readonly _keeper: Keeper,
    private readonly _default: () => Mode | null
  ) {
    _session.changed.connect(this.refresh, this);
  }

  /** The mode that counts; null where that is up to a kernel that has not said it yet. */
  get mode(): Mode | null {
    return this._session.state?.mode ?? this.begins;
  }

  /** The mode in which llm-magic begins when it is loaded. */
  get begins(): Mode | null {
    return this._held?.mode ?? this._carried;
  }

  /** Whether the kernel has loaded llm-magic. */
  get isLoaded(): boolean {
    return this._session.state !== null;
  }

  /** A mode that nothing in the notebook loosens, and why; null where people choose. */
  get pinned(): Pinned | null {
    return this._session.state?.pinned ?? null;
  }

  /** Whether a mode can be chosen now. CAPTURE is for a kernel, not for a notebook to begin with. */
  offers(mode: Mode | null): boolean {
    return this.pinned === null && (this.isLoaded || mode !== 'CAPTURE');
  }

  /** One of these is another. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  /**
   * Choose a mode, in the kernel and for the next time; null leaves it to the settings.
   *
   * CAPTURE is for now only, and leaves alone what the notebook carries.
   *
   * @returns a promise; it is rejected with the kernel's own words, and nothing is kept then
   */
  async choose(mode: Mode | null): Promise<void> {
    await this._ask(mode);
    this._held = null; // What people choose meanwhile stays.
    if (mode !== 'CAPTURE') {
      this._keeper.write(mode);
    }
    this.refresh();
  }

  /**
   * Do something in a mode, and go back to the one before, also when it fails.
   *
   * Of several at once, in the same mode, the last goes back.
   *
   * @param mode - any but CAPTURE
   * @param work - what to do
   */
  async during<Result>(mode: Mode, work: () => Promise<Result>): Promise<Result> {
    if (this.pinned) {
      return work();
    }
    const held = (this._held ??= { mode, before: null, kernel: this._kernel, users: 0 });
    const isFirst = held.users === 0;
    held.users += 1;
    try {
      const before = await this._ask(mode);
      if (isFirst) {
        held.before = before;
      }
      this.refresh();
      return await work();
    } finally {
      held.users -= 1;
      if (held.users === 0 && this._held === held) {
        this._held = null;
        this.refresh();
        // A kernel that began meanwhile knows nothing of the mode before, which may be CAPTURE.
        await this._ask(held.kernel === this._kernel ? held.before : this._carried);
      }
    }
  }

  /** Tell that something may have changed. */
  refresh(): void {
    this._changed.emit();
  }

  dispose(): void {
    if (this._isDisposed) {
      return;
    }
    this._isDisposed = true;
    this._session.changed.disconnect(this.refresh, this);
    Signal.clearData(this);
  }

  private get _carried(): Mode | null {
    return this._keeper.read() ?? this._default();
  }

  /** Tells a kernel from the one after a restart; null where it has not loaded llm-magic. */
  private get _kernel(): string | null {
    return this._session.state?.kernel ?? null;
  }

  /** Set it in the kernel, if there is one; returns the mode that was set there before. */
  private async _ask(mode: Mode | null): Promise<Mode | null> {
    return this._session.isOpen
      ? ((await this._session.ask({ type: 'mode', mode })) as Mode | null)
      : null;
  }

  private _held: Held | null = null;
  private _isDisposed = false;
  private readonly _changed = new Signal<this, void>(this);
}
