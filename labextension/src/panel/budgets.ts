import { button, element, write } from '../dom';
import { KeyedList } from './keyed';
import type { Row } from './keyed';
import { section } from './section';
import type { View } from './section';
import { levelOf, used } from '../spending';
import type { Surroundings } from './surroundings';
import type { Budget } from '../kernel/types';
import { amount, amountProblem, budgetName, errorText } from './wording';

const SCOPES = ['session', 'call', 'cell', 'day', 'process'];

/** The budgets that count now, how far they are used, and a form to set them. */
export class Budgets implements View {
  constructor(private readonly _around: Surroundings) {
    const { trans } = _around;
    const bars = element('div', { class: 'jp-LlmMagic-budgets' });
    this._bars = new KeyedList(
      bars,
      ({ per, origin, ceiling }) => JSON.stringify([per, origin, ceiling]),
      () => this._bar()
    );
    this._scope = element(
      'select',
      { 'aria-label': trans.__('What the budget is for') },
      ...SCOPES.map(per => element('option', { value: per }, budgetName(per, trans)))
    );
    this._amount = element('input', {
      type: 'text',
      inputmode: 'decimal',
      autocomplete: 'off',
      placeholder: trans.__('USD'),
      'aria-label': trans.__('Budget in USD')
    });
    const form = element(
      'form',
      { class: 'jp-LlmMagic-budgetForm', 'aria-label': trans.__('Set a budget') },
      this._scope,
      this._amount,
      element('button', { class: 'jp-LlmMagic-button' }, trans.__('Set')),
      button(trans.__('Remove'), () => void this._ask(null))
    );
    form.addEventListener('submit', event => {
      event.preventDefault();
      if (this._isAmount()) {
        void this._ask(amount(this._amount.value));
      }
    });
    this._amount.addEventListener('input', () => {
      if (this._amount.value) {
        this._isAmount();
      } else {
        this._complain('', false);
      }
    });
    this.node = section(trans.__('Budgets'), bars, this._none, form, this._error, this._done);
    write(this._none, trans.__('No budget is set.'));
  }

  readonly node: HTMLElement;

  update(): void {
    const budgets = this._around.session.state?.budgets ?? [];
    this._bars.update(budgets, this._around.decimals());
    this._none.hidden = budgets.length > 0;
  }

  private _isAmount(): boolean {
    const problem = amountProblem(this._amount.value, this._around.trans);
    this._complain(problem ?? '', problem !== null);
    return problem === null;
  }

  /** What was done before is no news any more. */
  private _complain(text: string, wrong: boolean): void {
    write(this._done, '');
    write(this._error, text);
    this._amount.setAttribute('aria-invalid', String(wrong));
  }

  /** Set a budget, or take it away where there is no amount; the kernel may refuse. */
  private async _ask(usd: string | null): Promise<void> {
    const { session, trans } = this._around;
    const per = this._scope.value;
    const name = budgetName(per, trans);
    const known = session.state?.budgets ?? [];
    const wasSet = known.some(budget => budget.per === per && !budget.ceiling);
    this._complain('', false);
    try {
      await session.ask({ type: 'budget', per, usd });
    } catch (error) {
      this._complain(errorText(error, trans), false);
      return;
    }
    this._amount.value = '';
    if (usd !== null) {
      write(this._done, trans.__('Set: %1 %2', this._around.usd(usd), name));
    } else {
      write(
        this._done,
        wasSet ? trans.__('Removed: %1', name) : trans.__('None was set: %1', name)
      );
    }
  }

  private _bar(): Row<Budget> {
    const [name, spent, fill] = [element('b'), element('span'), element('div')];
    const about = element('p', { class: 'jp-LlmMagic-muted' });
    const track = element('div', { class: 'jp-LlmMagic-meter', role: 'meter' }, fill);
    return {
      node: element(
        'div',
        { class: 'jp-LlmMagic-budget' },
        element('p', {}, name, ' ', spent),
        track,
        about
      ),
      show: budget => {
        const title = budgetName(budget.per, this._around.trans);
        const text = this._used(budget);
        const share = used(budget);
        write(name, title);
        write(spent, text);
        write(about, this._about(budget));
        track.hidden = isWhole(budget);
        fill.style.width = `${share * 100}%`;
        track.dataset.level = levelOf(budget);
        track.setAttribute('aria-label', this._around.trans.__('budget %1', title));
        track.setAttribute('aria-valuemin', '0');
        track.setAttribute('aria-valuemax', '100');
        track.setAttribute('aria-valuenow', String(Math.round(share * 100)));
        track.setAttribute('aria-valuetext', text);
      }
    };
  }

  private _used(budget: Budget): string {
    const { trans, usd } = this._around;
    const { limit, settled, reserved } = budget;
    if (isWhole(budget)) {
      return trans.__('at most %1', usd(limit));
    }
    const used = trans.__('%1 of %2', usd(settled), usd(limit));
    return Number(reserved) ? trans.__('%1, %2 set aside', used, usd(reserved)) : used;
  }

  private _about(budget: Budget): string {
    const { trans, usd } = this._around;
    const { left, origin, ceiling } = budget;
    return [
      isWhole(budget) ? '' : trans.__('%1 left', usd(left)),
      origin ? trans.__('set in %1', origin) : '',
      ceiling ? trans.__('can only be lowered here') : ''
    ]
      .filter(part => part)
      .join(' · ');
  }

  private readonly _bars: KeyedList<Budget>;
  private readonly _scope: HTMLSelectElement;
  private readonly _amount: HTMLInputElement;
  private readonly _none = element('p', { class: 'jp-LlmMagic-muted' });
  private readonly _error = element('p', { class: 'jp-LlmMagic-error', role: 'alert' });
  private readonly _done = element('p', { class: 'jp-LlmMagic-muted', role: 'status' });
}

/** Nothing adds up over calls, nor over runs of cells: the next one has all of it. */
function isWhole({ per, settled, reserved }: Budget): boolean {
  return per === 'call' || (per === 'cell' && !Number(settled) && !Number(reserved));
}
