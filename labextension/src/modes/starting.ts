import type { ISessionContext } from '@jupyterlab/apputils';
import type { Kernel } from '@jupyterlab/services';
import type { IDisposable } from '@lumino/disposable';

import type { Mode } from '../kernel/types';

/** The part of a notebook's session that is needed here; tests give another one. */
export type Context = Pick<
  ISessionContext,
  'kernelChanged' | 'statusChanged' | 'session' | 'specsManager'
>;

/**
 * Has a kernel know the mode in which llm-magic begins, before llm-magic is loaded there.
 *
 * When a notebook runs from the top, the cells after `%load_ext` are with the kernel already when
 * the extension can first be spoken to. So its mode is put into IPython's configuration, from where
 * the extension takes it, by a silent request ahead of the first cell.
 */
export class StartingMode implements IDisposable {
  /**
   * @param _context - the notebook's session
   * @param _wanted - the mode to begin with, as of now; null leaves it to the kernel's settings
   */
  constructor(
    private readonly _context: Context,
    private readonly _wanted: () => Mode | null
  ) {
    _context.kernelChanged.connect(this._onKernelChanged, this);
    _context.statusChanged.connect(this._onStatus, this);
    this.tell();
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  /** Tell the kernel, unless it knows; what is sent afterwards runs afterwards. */
  tell(): void {
    const kernel = this._context.session?.kernel;
    const wanted = this._wanted();
    if (!kernel || wanted === this._told || kernel.status === 'dead' || !this._isPython(kernel)) {
      return;
    }
    this._told = wanted;
    const code =
      wanted === null
        ? "get_ipython().config.CompleteMagics.pop('mode', None)"
        : `get_ipython().config.CompleteMagics.mode = '${wanted}'`;
    const request = { code, silent: true, store_history: false, allow_stdin: false };
    const before = this._restarts;
    kernel.requestExecute(request).done.then(
      reply => {
        if (reply.content.status === 'aborted' && before === this._restarts) {
          this._told = null; // A cell before it failed; the next cell tells it anew.
        }
      },
      () => {
        // It went away, and the next one is told anew.
      }
    );
  }

  dispose(): void {
    if (this._isDisposed) {
      return;
    }
    this._isDisposed = true;
    this._context.kernelChanged.disconnect(this._onKernelChanged, this);
    this._context.statusChanged.disconnect(this._onStatus, this);
  }

  private _onKernelChanged(): void {
    this._forget();
    this.tell();
  }

  private _onStatus(_: unknown, status: Kernel.Status): void {
    // 'starting' is what other pages see of a restart.
    if (['restarting', 'autorestarting', 'starting', 'dead'].includes(status)) {
      this._forget();
    } else if (status === 'idle') {
      this.tell();
    }
  }

  private _forget(): void {
    this._told = null;
    this._restarts += 1;
  }

  private _isPython(kernel: Kernel.IKernelConnection): boolean {
    const spec = this._context.specsManager.specs?.kernelspecs[kernel.name];
    return spec?.language.toLowerCase() === 'python';
  }

  private _told: Mode | null = null;
  private _restarts = 0;
  private _isDisposed = false;
}
