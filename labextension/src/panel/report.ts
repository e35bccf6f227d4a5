import { button, element } from '../dom';
import { verbatim } from './section';
import type { Surroundings } from './surroundings';
import type { Finding, VerifyReport } from '../kernel/types';

/** What verifying a notebook found, one finding after the other. */
export function reportView(report: VerifyReport, around: Surroundings): HTMLElement {
  const { trans } = around;
  const same = report.cells.filter(({ status }) => status === 'same').length;
  const all = report.cells.length;
  return element(
    'div',
    { class: 'jp-LlmMagic-report' },
    element(
      'p',
      {},
      same === all
        ? trans._n(
            'The notebook runs again: %1 cell the same.',
            'The notebook runs again: %1 cells the same.',
            same
          )
        : trans.__('%1 of %2 cells are the same.', same, all)
    ),
    report.findings.length > 0 &&
      element('ul', {}, ...report.findings.map(finding => row(finding, report, around)))
  );
}

function row(finding: Finding, report: VerifyReport, { trans, jump }: Surroundings): HTMLElement {
  const cell = report.cells.find(({ number }) => number === finding.cell);
  return element(
    'li',
    {},
    element('b', {}, finding.kind),
    ' ',
    cell !== undefined &&
      button(
        trans.__('cell %1: %2', cell.number, cell.line),
        () => {
          jump({ id: cell.id || null, line: cell.line });
        },
        { class: 'jp-LlmMagic-link', title: cell.line }
      ),
    element('p', {}, finding.message),
    finding.detail !== '' && verbatim(trans.__('Details'), finding.detail)
  );
}
