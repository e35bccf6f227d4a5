import type { ISessionContext } from '@jupyterlab/apputils';
import { KernelMessage } from '@jupyterlab/services';
import type { Kernel } from '@jupyterlab/services';
import { PromiseDelegate, UUID } from '@lumino/coreutils';
import type { IDisposable } from '@lumino/disposable';
import { Signal } from '@lumino/signaling';
import type { ISignal } from '@lumino/signaling';

import { CONTROL, STATE } from './types';
import type { Ask, Calls, Reply, State } from './types';

/** What Lab asks, without the id that it gets on its way. */
export type Question = Ask extends infer One ? (One extends Ask ? Omit<One, 'id'> : never) : never;

/** The kernel went away before it answered. */
export class KernelGoneError extends Error {
  constructor() {
    super('the kernel went away before it answered');
  }
}

/**
 * The connection to the part of llm-magic that runs in a notebook's kernel.
 *
 * It is there when the kernel has loaded the extension, and finds it again after a restart, a
 * reload of the page and a change of the kernel. The kernel speaks on a comm that it opened; we
 * ask on one that we open and on which it never speaks: only then ipykernel hears us while a cell
 * runs.
 */
export class KernelLink implements IDisposable {
  /**
   * @param _context - the notebook's session
   */
  constructor(private readonly _context: ISessionContext) {
    _context.kernelChanged.connect(this._onKernelChanged, this);
    _context.statusChanged.connect(this._onStatus, this);
    _context.connectionStatusChanged.connect(this._onConnection, this);
    // Before the connection goes with it.
    _context.disposed.connect(this.dispose, this);
    // What is sent later than that, when the page is gone for certain, gets lost.
    window.addEventListener('beforeunload', this._hangUp);
    this._follow(_context.session?.kernel ?? null);
  }

  /** Whether the kernel has loaded llm-magic. */
  get isOpen(): boolean {
    return this._state !== null;
  }

  /** The connection was made; say hello. */
  get opened(): ISignal<this, void> {
    return this._opened;
  }

  /** The connection ended. */
  get closed(): ISignal<this, void> {
    return this._closed;
  }

  /** The kernel told something that nobody asked for. */
  get told(): ISignal<this, State | Calls> {
    return this._told;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  /**
   * Ask the kernel.
   *
   * @param question - what to ask
   * @param stop - has the kernel stop what it does for us; the answer then says that it did
   * @returns a promise of the result; it is rejected with the kernel's own words, or with a
   * KernelGoneError
   */
  async ask(question: Question, stop?: AbortSignal): Promise<unknown> {
    const control = this._calling();
    const id = UUID.uuid4();
    const answer = new PromiseDelegate<unknown>();
    control.send({ ...question, id });
    this._waiting.set(id, answer); // Not before: what could not be sent has no answer.
    stop?.addEventListener('abort', () => {
      if (this._waiting.has(id)) {
        this._calling().send({ type: 'stop', id: UUID.uuid4(), asked: id });
      }
    });
    return answer.promise;
  }

  dispose(): void {
    if (this._isDisposed) {
      return;
    }
    this._isDisposed = true;
    this._context.kernelChanged.disconnect(this._onKernelChanged, this);
    this._context.statusChanged.disconnect(this._onStatus, this);
    this._context.connectionStatusChanged.disconnect(this._onConnection, this);
    this._context.disposed.disconnect(this.dispose, this);
    window.removeEventListener('beforeunload', this._hangUp);
    this._leave();
    Signal.clearData(this);
  }

  private _onKernelChanged(): void {
    this._follow(this._context.session?.kernel ?? null);
  }

  private _onStatus(_: ISessionContext, status: Kernel.Status): void {
    // 'starting' is what other pages see of a restart.
    if (['restarting', 'autorestarting', 'starting', 'dead'].includes(status)) {
      this._forget();
    }
  }

  private _onConnection(_: ISessionContext, status: Kernel.ConnectionStatus): void {
    if (status === 'connected') {
      void this._join();
    }
  }

  private _follow(kernel: Kernel.IKernelConnection | null): void {
    if (this._kernel === kernel) {
      return;
    }
    this._leave();
    this._kernel = kernel;
    if (kernel) {
      kernel.registerCommTarget(STATE, this._onOpen);
      kernel.iopubMessage.connect(this._onMessage, this);
      void this._join();
    }
  }

  private _leave(): void {
    this._hangUp();
    this._kernel?.iopubMessage.disconnect(this._onMessage, this);
    if (this._kernel && !this._kernel.isDisposed) {
      this._kernel.removeCommTarget(STATE, this._onOpen);
    }
    this._kernel = null;
    this._forget();
  }

  /** The comm to ask on. */
  private _calling(): Kernel.IComm {
    if (this._kernel === null || this._state === null) {
      throw new KernelGoneError();
    }
    if (this._control === null) {
      this._control = this._kernel.createComm(CONTROL);
      this._control.open();
    }
    return this._control;
  }

  /**
   * Close the comm that we opened: a kernel that goes on without us would keep it.
   *
   * Where people stay on the page after all, the next question opens another one. Not by
   * `IComm.close()`, which also ends the subshell that the comm is on, often before that has heard
   * that the comm is closed.
   */
  private readonly _hangUp = (): void => {
    const [kernel, control] = [this._kernel, this._control];
    this._control = null;
    const isThere = kernel !== null && !kernel.isDisposed && kernel.status !== 'dead';
    if (!control || !isThere || kernel.connectionStatus !== 'connected') {
      return;
    }
    const closing = KernelMessage.createMessage({
      msgType: 'comm_close',
      channel: 'shell',
      username: kernel.username,
      session: kernel.clientId,
      content: { comm_id: control.commId, data: {} }
    });
    kernel.sendShellMessage(closing).done.catch(() => {
      // The connection ended before the kernel said that it has heard it.
    });
  };

  /**
   * After a reload of the page the kernel still has its comm: look it up.
   *
   * And after the connection was lost it may be another process, which has not.
   */
  private async _join(): Promise<void> {
    const kernel = this._kernel;
    // Of several views of one kernel in a page only the first may have comms.
    if (!kernel || kernel.isDisposed || !kernel.handleComms) {
      return;
    }
    const before = this._state;
    let ids: string[];
    try {
      const reply = await kernel.requestCommInfo({ target_name: STATE });
      ids = reply.content.status === 'ok' ? Object.keys(reply.content.comms) : [];
    } catch {
      return; // It went away meanwhile; the next connection looks again.
    }
    const changed = this._isDisposed || kernel !== this._kernel || this._state !== before;
    if (changed || (before && ids.includes(before.commId))) {
      return;
    }
    this._forget();
    if (ids.length) {
      this._adopt(kernel.createComm(STATE, ids[0]));
    }
  }

  /** While a cell runs the kernel does not answer where its comm is, but it speaks on it. */
  private _onMessage(_: unknown, message: KernelMessage.IMessage): void {
    const kernel = this._kernel;
    const { comm_id, data } = message.content as Partial<KernelMessage.ICommMsgMsg['content']>;
    const isState = data?.type === 'state' && Array.isArray(data.budgets);
    if (comm_id && isState && !this._state && kernel?.handleComms) {
      this._adopt(kernel.createComm(STATE, comm_id));
      this._hear(data as unknown as State);
    }
  }

  private readonly _onOpen = (comm: Kernel.IComm): void => {
    if (this._kernel) {
      this._adopt(comm);
    }
  };

  private _adopt(comm: Kernel.IComm): void {
    this._forget();
    this._state = comm;
    comm.onMsg = message => {
      this._hear(message.content.data as unknown as State | Calls | Reply);
    };
    comm.onClose = () => {
      if (this._state === comm) {
        this._forget();
      }
    };
    this._opened.emit();
  }

  private _hear(message: State | Calls | Reply): void {
    if (message.type !== 'reply') {
      this._told.emit(message);
      return;
    }
    // Another page on this kernel may have asked.
    const answer = this._waiting.get(message.id);
    this._waiting.delete(message.id);
    if (message.error === null) {
      answer?.resolve(message.result);
    } else {
      answer?.reject(new Error(message.error));
    }
  }

  private _forget(): void {
    const wasOpen = this.isOpen;
    this._state = null;
    this._control = null;
    const waiting = [...this._waiting.values()];
    this._waiting.clear();
    for (const answer of waiting) {
      answer.reject(new KernelGoneError());
    }
    if (wasOpen) {
      this._closed.emit();
    }
  }

  private _kernel: Kernel.IKernelConnection | null = null;
  private _state: Kernel.IComm | null = null;
  private _control: Kernel.IComm | null = null;
  private _isDisposed = false;
  private readonly _waiting = new Map<string, PromiseDelegate<unknown>>();
  private readonly _opened = new Signal<this, void>(this);
  private readonly _closed = new Signal<this, void>(this);
  private readonly _told = new Signal<this, State | Calls>(this);
}
