import { button, element, write } from '../dom';
import { count, duration } from '../format';
import { KeyedList } from './keyed';
import type { Row } from './keyed';
import { facts, section, verbatim } from './section';
import type { View } from './section';
import type { Surroundings } from './surroundings';
import type { Call, CallDetail } from '../kernel/types';
import { errorText, firstWords, matches, outcomeWord, when } from './wording';

/** More than these are not shown; the ledger has them all. */
const MOST = 200;

/** The calls of the notebook as they happen, newest first. */
export class CallList implements View {
  constructor(private readonly _around: Surroundings) {
    const { trans } = _around;
    this._filter = element('input', {
      type: 'search',
      autocomplete: 'off',
      placeholder: trans.__('Filter: words, model, result'),
      'aria-label': trans.__('Filter calls')
    });
    this._filter.addEventListener('input', () => {
      this.update();
    });
    const list = element('div', {
      class: 'jp-LlmMagic-calls',
      role: 'list',
      'aria-label': trans.__('Calls, newest first')
    });
    this._rows = new KeyedList(
      list,
      ({ id }) => id,
      () => new CallRow(_around)
    );
    this.node = section(trans.__('Calls'), this._filter, list, this._none);
  }

  readonly node: HTMLElement;

  update(): void {
    const { session, trans, decimals } = this._around;
    const text = this._filter.value.trim();
    const shown = [];
    for (let at = session.calls.length - 1; at >= 0 && shown.length < MOST; at--) {
      const call = session.calls[at];
      if (!text || matches(call, text, trans)) {
        shown.push(call);
      }
    }
    this._rows.update(shown, decimals());
    this._none.hidden = shown.length > 0;
    write(
      this._none,
      session.calls.length ? trans.__('No call has these words.') : trans.__('No calls yet.')
    );
  }

  private readonly _filter: HTMLInputElement;
  private readonly _rows: KeyedList<Call>;
  private readonly _none = element('p', { class: 'jp-LlmMagic-muted', role: 'status' });
}

/** One call in two lines; what else is known of it when people open it. */
class CallRow implements Row<Call> {
  constructor(private readonly _around: Surroundings) {
    this._details.append(
      element(
        'summary',
        {},
        // Two lines, not a grid: the time of the second would take room from the model of the first.
        element(
          'span',
          {},
          element('span', { class: 'jp-LlmMagic-dot', 'aria-hidden': 'true' }),
          this._outcome,
          this._model,
          this._cost
        ),
        element('span', {}, this._words, this._when)
      ),
      this._body
    );
    this._details.addEventListener('toggle', () => {
      this._fill();
    });
    this.node.append(this._details);
  }

  readonly node = element('div', { role: 'listitem' });

  show(call: Call): void {
    const { trans } = this._around;
    this._call = call;
    this._details.dataset.outcome = call.outcome;
    write(this._outcome, outcomeWord(call.outcome, trans));
    write(this._model, call.model.split('/').slice(1).join('/') || call.model);
    this._model.title = call.model;
    write(this._cost, costOf(call, this._around));
    write(this._words, firstWords(call.prompt ?? call.cell_line));
    write(this._when, when(call.started));
    this._fill();
  }

  /** Hundreds of rows are closed: what nobody opened is not made. */
  private _fill(): void {
    const call = this._details.open ? this._call : null;
    this._body.replaceChildren(...(call ? inFull(call, this._around) : []));
  }

  private _call: Call | null = null;
  private readonly _details = element('details', { class: 'jp-LlmMagic-call' });
  private readonly _outcome = element('b', {});
  private readonly _model = element('span', { class: 'jp-LlmMagic-ellipsis' });
  private readonly _cost = element('span', { class: 'jp-LlmMagic-number' });
  private readonly _words = element('span', { class: 'jp-LlmMagic-ellipsis jp-LlmMagic-muted' });
  private readonly _when = element('time', { class: 'jp-LlmMagic-muted' });
  private readonly _body = element('div', { class: 'jp-LlmMagic-callBody' });
}

/** A button that leads to the cell of a call; nothing where it had none. */
export function toCell({ cell_id: id, cell_line: line }: Call, around: Surroundings) {
  const { trans, jump } = around;
  return (
    id !== null &&
    button(
      trans.__('Go to cell'),
      () => {
        jump({ id, line });
      },
      { class: 'jp-LlmMagic-button', title: line }
    )
  );
}

/** What a call cost, where it has ended and cost something or may have. */
function costOf({ outcome, cost }: Call, { usd }: Surroundings): string {
  return ['pending', 'miss', 'refused'].includes(outcome) ? '' : usd(cost);
}

function inFull(call: Call, around: Surroundings): Node[] {
  const { trans, usd } = around;
  const { prompt, error, explanation } = call;
  const tokens =
    call.input_tokens !== null || call.output_tokens !== null
      ? trans.__('%1 in, %2 out', count(call.input_tokens), count(call.output_tokens))
      : null;
  return [
    facts(
      [trans.__('Model'), call.model],
      [trans.__('Begun'), new Date(call.started).toLocaleString()],
      call.saved === null ? null : [trans.__('Saved'), usd(call.saved)],
      tokens === null ? null : [trans.__('Tokens'), tokens],
      call.latency_ms === null ? null : [trans.__('Time'), duration(call.latency_ms)],
      call.cell_line === null ? null : [trans.__('Cell'), call.cell_line]
    ),
    error !== null && element('p', { class: 'jp-LlmMagic-error' }, error),
    ...labelled(trans.__('Why'), explanation),
    ...labelled(trans.__('Prompt'), prompt),
    ...toRecording(call, around)
  ].filter(part => part instanceof Node);
}

/** Buttons that lead to the cell of a call and to what is recorded of it; this is shown below. */
function toRecording(call: Call, around: Surroundings): HTMLElement[] {
  const { session, trans } = around;
  const { key, ordinal } = call;
  const shown = element('div', { class: 'jp-LlmMagic-recording', 'aria-live': 'polite' });
  const show = async (key: string): Promise<void> => {
    try {
      const { request, response } = (await session.ask({
        type: 'call',
        key,
        ordinal
      })) as CallDetail;
      shown.replaceChildren(
        ...labelled(trans.__('Request'), JSON.stringify(request, null, 1)),
        ...labelled(trans.__('Response'), JSON.stringify(response, null, 1))
      );
    } catch (error) {
      const text = errorText(error, trans);
      shown.replaceChildren(element('p', { class: 'jp-LlmMagic-error' }, text));
    }
  };
  const isAnswered = call.outcome === 'live' || call.outcome === 'replay';
  return [
    element(
      'div',
      { class: 'jp-LlmMagic-buttons' },
      toCell(call, around),
      isAnswered && key !== null && button(trans.__('Show recording'), () => void show(key))
    ),
    shown
  ];
}

/** A text below what it is; nothing where there is none. */
function labelled(label: string, text: string | null): HTMLElement[] {
  return text === null
    ? []
    : [element('p', { class: 'jp-LlmMagic-label' }, label), verbatim(label, text)];
}
