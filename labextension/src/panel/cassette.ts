import type { CassetteWork, Result, Work } from './cassettework';
import { button, element, write } from '../dom';
import { count } from '../format';
import { reportView } from './report';
import { savedText } from '../saving/saver';
import { facts, section } from './section';
import type { View } from './section';
import type { Surroundings } from './surroundings';
import { errorText } from './wording';

/** The recordings of the notebook, and what can be done with them. */
export class CassetteView implements View {
  constructor(
    private readonly _around: Surroundings,
    private readonly _work: CassetteWork
  ) {
    const { trans } = _around;
    const told = trans.__('Run the saved notebook again, offline');
    this._verify = this._start('verify', trans.__('Verify'), told);
    this._buttons = [
      this._start('save', trans.__('Save'), trans.__('Write what was recorded into the cassette')),
      this._verify,
      this._start('pack', trans.__('Pack'), trans.__('Put the recordings into the notebook file'))
    ];
    this._stop = button(trans.__('Stop'), () => {
      _work.stop();
    });
    this._busy.append(element('progress', { 'aria-hidden': 'true' }), this._doing, this._stop);
    this.node = section(
      trans.__('Cassette'),
      this._name,
      facts(
        [trans.__('Recordings'), this._recordings],
        [trans.__('Not saved yet'), this._unsaved],
        [trans.__('Of no notebook'), this._unnamed],
        [trans.__('Stale'), this._stale]
      ),
      element('div', { class: 'jp-LlmMagic-buttons' }, ...this._buttons),
      this._busy,
      this._error,
      this._result
    );
    _work.changed.connect(this._onWork, this);
    this._onWork();
  }

  readonly node: HTMLElement;

  update(): void {
    const { session, trans } = this._around;
    const cassette = session.state?.cassette;
    if (cassette) {
      write(this._name, cassette.name ?? trans.__('Nothing is saved yet.'));
      this._name.title = cassette.name ?? '';
      write(this._recordings, count(cassette.recordings));
      write(this._unsaved, count(cassette.unsaved));
      write(this._unnamed, count(cassette.unnamed));
    }
    const { report } = this._work;
    const stale = report?.findings.filter(({ kind }) => kind === 'stale').length;
    write(this._stale, stale === undefined ? trans.__('not verified') : count(stale));
  }

  private _start(work: Work, label: string, title: string): HTMLButtonElement {
    // Not `disabled` while something is under way: that would take the focus away.
    const starts = () => void this._work.start(work);
    return button(label, starts, { class: 'jp-LlmMagic-button', title });
  }

  private _onWork(): void {
    const { current, result } = this._work;
    const { trans } = this._around;
    for (const one of this._buttons) {
      one.setAttribute('aria-disabled', String(current !== null));
    }
    const hadFocus = document.activeElement === this._stop;
    this._busy.hidden = current === null;
    this._stop.hidden = current !== 'verify';
    if (hadFocus && this._stop.hidden) {
      // What is hidden loses the focus, and whoever has no mouse would begin again at the top.
      this._verify.focus();
    }
    const doing = {
      save: trans.__('Saving …'),
      verify: trans.__('Verifying …'),
      pack: trans.__('Packing …')
    };
    write(this._doing, current ? doing[current] : '');
    write(this._error, result?.of === 'failed' ? errorText(result.error, trans) : '');
    const told = result && this._told(result);
    this._result.replaceChildren(...(told ? [told] : []));
    this.update();
  }

  private _told(result: Result): Node | null {
    const { trans } = this._around;
    switch (result.of) {
      case 'save':
        return element('p', {}, savedText(result.saved, trans));
      case 'verify':
        return reportView(result.report, this._around);
      case 'pack':
        return element('p', {}, result.told);
      case 'stopped':
        return element('p', {}, trans.__('Stopped.'));
      case 'running':
        return element(
          'p',
          {},
          trans.__('A cell is running. Pack the notebook when it has ended.')
        );
      case 'failed':
        return null;
    }
  }

  private readonly _buttons: HTMLButtonElement[];
  private readonly _verify: HTMLButtonElement;
  private readonly _stop: HTMLButtonElement;
  private readonly _name = element('p', { class: 'jp-LlmMagic-ellipsis' });
  private readonly _recordings = element('span');
  private readonly _unsaved = element('span');
  private readonly _unnamed = element('span');
  private readonly _stale = element('span');
  private readonly _doing = element('span');
  private readonly _busy = element('div', { class: 'jp-LlmMagic-busy', role: 'status' });
  private readonly _error = element('p', { class: 'jp-LlmMagic-error', role: 'alert' });
  private readonly _result = element('div', { 'aria-live': 'polite' });
}
