import type { IDisposable } from '@lumino/disposable';
import { Signal } from '@lumino/signaling';
import type { ISignal } from '@lumino/signaling';

import type { KernelLink, Question } from './kernel';
import { VERSION } from './types';
import type { Call, Calls, Mode, State } from './types';

/** The part of a kernel's connection that a session needs; tests give another one. */
export type Link = Pick<KernelLink, 'isOpen' | 'opened' | 'closed' | 'told' | 'ask'> & IDisposable;

type AboutNotebook = Extract<Question, { notebook: string }>;

/** What a notebook's session is asked; it adds the name of the notebook where that is needed. */
export type Asked =
  | Exclude<Question, { notebook: string | null }>
  | Omit<Exclude<AboutNotebook, { type: 'renamed' }>, 'notebook'>;

/** What is asked of the notebook as it is called now. */
const ABOUT_NOTEBOOK: readonly string[] = ['save', 'verify', 'pack', 'plan'];

/** What is known of the notebook itself. */
export interface Notebook {
  /** Its name without `.ipynb`. */
  readonly name: string;
  /** The mode that it carries; null where it says nothing. */
  readonly mode: Mode | null;
}

/** As many calls as are kept for the side panel. */
const MOST_CALLS = 500;

/**
 * What one notebook and its kernel know about mode, money and recordings.
 *
 * It shows what the kernel says, never a guess of its own.
 */
export class Session implements IDisposable {
  /**
   * @param _link - the connection to the kernel
   * @param _notebook - says what the notebook is called and which mode it carries, as of now
   */
  constructor(
    private readonly _link: Link,
    private readonly _notebook: () => Notebook
  ) {
    _link.opened.connect(this._onOpened, this);
    _link.closed.connect(this._onClosed, this);
    _link.told.connect(this._onTold, this);
    if (_link.isOpen) {
      this._onOpened();
    }
  }

  /** Whether the kernel can be asked; it may not have told its state yet. */
  get isOpen(): boolean {
    return this._link.isOpen;
  }

  /** What the kernel said last; null where it has not loaded llm-magic. */
  get state(): State | null {
    return this._state;
  }

  /** Why the kernel says nothing, or not all, to this page; null where all is well. */
  get problem(): string | null {
    return this._problem;
  }

  /** The newest calls, oldest first. */
  get calls(): readonly Call[] {
    return this._calls;
  }

  /** State or calls are others than before. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  /**
   * Ask the kernel something; see KernelLink.ask.
   *
   * What is asked about the notebook waits until the kernel has heard of its new name: till then
   * what was recorded belongs to the old one.
   */
  async ask(question: Asked, stop?: AbortSignal): Promise<unknown> {
    if (!ABOUT_NOTEBOOK.includes(question.type)) {
      return this._link.ask(question as Question, stop);
    }
    let heard: Promise<void> | null = null;
    while (heard !== this._renaming) {
      heard = this._renaming;
      await heard;
    }
    stop?.throwIfAborted();
    return this._link.ask({ ...question, notebook: this._notebook().name } as Question, stop);
  }

  /**
   * Tell the kernel that the notebook is called otherwise now.
   *
   * @param ready - the kernel hears of it after that
   * @returns a promise of what people should know of it; null when it went as they expect
   */
  async renamed(ready: Promise<void>): Promise<string | null> {
    const before = this._renaming;
    const told = (async () => {
      await before;
      await ready;
      return this._link.ask({ type: 'renamed', notebook: this._notebook().name });
    })();
    const ended = (): void => undefined;
    this._renaming = told.then(ended, ended);
    return (await told) as string | null;
  }

  dispose(): void {
    if (this._isDisposed) {
      return;
    }
    this._isDisposed = true;
    // First: nobody asks any more what became of it.
    Signal.clearData(this);
    this._link.dispose();
  }

  private _onOpened(): void {
    const { name, mode } = this._notebook();
    const hello = { type: 'hello', version: VERSION, notebook: name, mode } as const;
    this._link.ask(hello).then(
      told => {
        this._fail(told as string | null);
      },
      (error: unknown) => {
        this._fail((error as Error).message);
      }
    );
  }

  private _fail(problem: string | null): void {
    // Where it went away again, `closed` has been told.
    if (problem !== this._problem && this._link.isOpen) {
      this._problem = problem;
      this._changed.emit();
    }
  }

  private _onClosed(): void {
    this._problem = null;
    this._state = null;
    this._calls = [];
    this._changed.emit();
  }

  private _onTold(_: unknown, message: State | Calls): void {
    if (message.type === 'state') {
      this._state = message;
    } else {
      this._calls = merged(message.reset ? [] : this._calls, message.calls);
    }
    this._changed.emit();
  }

  private _state: State | null = null;
  private _problem: string | null = null;
  private _renaming: Promise<void> = Promise.resolve();
  private _calls: readonly Call[] = [];
  private _isDisposed = false;
  private readonly _changed = new Signal<this, void>(this);
}

/** Calls with newer ones put in: one that changed stays where it was. */
function merged(known: readonly Call[], news: readonly Call[]): Call[] {
  const calls = new Map(known.map(call => [call.id, call]));
  for (const call of news) {
    calls.set(call.id, call);
  }
  return [...calls.values()].slice(-MOST_CALLS);
}
