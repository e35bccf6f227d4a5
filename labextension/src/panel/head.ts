import { element, write } from '../dom';
import { command } from './section';
import type { View } from './section';
import type { Surroundings } from './surroundings';
import { modeMeaning } from './wording';

const LOAD = '%load_ext llm_magic';

/** Which notebook this is, its mode, and what is wrong with it; how to begin where nothing is. */
export class Head implements View {
  constructor(private readonly _around: Surroundings) {
    const { trans } = _around;
    this._unloaded.append(
      element('p', {}, trans.__('llm-magic is not loaded here yet. Run this line in a cell:')),
      command(LOAD, _around)
    );
    this.node.append(this._name, this._mode, this._pinned, this._problem, this._unloaded);
  }

  readonly node = element('header', { class: 'jp-LlmMagic-head' });

  update(): void {
    const { session, document, trans } = this._around;
    const { state } = session;
    write(this._name, document.name);
    this._name.title = document.name;
    this._mode.hidden = state === null;
    this._unloaded.hidden = state !== null || session.problem !== null;
    if (state) {
      write(this._mode.children[0], state.mode);
      write(this._mode.children[1], ` · ${modeMeaning(state.mode, trans)}`);
      this._mode.title = state.origin;
    }
    const pinned = state?.pinned ?? null;
    this._pinned.hidden = pinned === null;
    write(this._pinned, pinned ? trans.__('Only %1 here: %2', pinned.mode, pinned.reason) : '');
    const problem = session.problem ?? state?.problem ?? null;
    this._problem.hidden = problem === null;
    write(this._problem, problem ?? '');
  }

  private readonly _name = element('h2', {});
  private readonly _mode = element('p', {}, element('strong', {}), element('span', {}));
  private readonly _pinned = element('p', { class: 'jp-LlmMagic-muted' });
  private readonly _problem = element('p', { class: 'jp-LlmMagic-error', role: 'alert' });
  private readonly _unloaded = element('div', {});
}
