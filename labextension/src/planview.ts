import type { TranslationBundle } from '@jupyterlab/translation';

import { element } from './dom';
import type { NotebookPlan } from './kernel/types';

/** What running a notebook would ask and cost: a table, and what is said below it. */
export function planNode(plan: NotebookPlan, trans: TranslationBundle): HTMLElement {
  const names = [trans.__('Cell'), trans.__('Plan'), trans.__('Model'), trans.__('Begins with')];
  const heads = names.map(name => element('th', { scope: 'col' }, name));
  const rows = plan.calls.map(call =>
    element(
      'tr',
      { 'data-status': call.status },
      element('td', {}, String(call.cell)),
      element('td', {}, call.told),
      element('td', {}, call.model ?? ''),
      element('td', {}, element('code', {}, call.line))
    )
  );
  return element(
    'div',
    { class: 'jp-LlmMagic-plan' },
    rows.length > 0 &&
      element(
        'table',
        {},
        element('thead', {}, element('tr', {}, ...heads)),
        element('tbody', {}, ...rows)
      ),
    element('p', {}, element('strong', {}, plan.total)),
    ...plan.remarks.map(remark => element('p', {}, remark))
  );
}
